// Randomness by address on the device: integer words equal the host's bit for bit.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "slowsde/problems/random_address.hpp"

namespace {

using Words = std::array<std::uint32_t, 4>;

struct Address {
  std::uint64_t seed;
  slowsde::Stream stream;
  std::uint64_t replica;
  std::uint32_t worker;
  std::uint64_t block;
};

// out[i] = words of addresses[i]; one thread per address.
__global__ void words_of(const Address* addresses, Words* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const Address& a = addresses[i];
  out[i] = slowsde::random_words(a.seed, a.stream, a.replica, a.worker, a.block);
}

void succeed(cudaError_t error) {
  REQUIRE_MESSAGE(error == cudaSuccess, std::string(cudaGetErrorString(error)));
}

std::vector<Words> on_device(const std::vector<Address>& addresses) {
  const std::size_t count = addresses.size();
  Address* in = nullptr;
  Words* out = nullptr;
  succeed(cudaMalloc(&in, count * sizeof(Address)));
  succeed(cudaMalloc(&out, count * sizeof(Words)));
  succeed(cudaMemcpy(in, addresses.data(), count * sizeof(Address), cudaMemcpyHostToDevice));
  constexpr int block_size = 128;
  const int blocks = static_cast<int>((count + block_size - 1) / block_size);
  words_of<<<blocks, block_size>>>(in, out, static_cast<int>(count));
  succeed(cudaGetLastError());
  std::vector<Words> result(count);
  succeed(cudaMemcpy(result.data(), out, count * sizeof(Words), cudaMemcpyDeviceToHost));
  succeed(cudaFree(in));
  succeed(cudaFree(out));
  return result;
}

// Every field at 0, at 1, across a 32-bit boundary where it has one, and at its largest value.
std::vector<Address> corner_addresses() {
  constexpr std::uint64_t word = std::uint64_t{1} << 32;
  std::vector<Address> addresses;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, word + 7, ~std::uint64_t{0}})
    for (const slowsde::Stream stream : {slowsde::Stream::label, slowsde::Stream::probe})
      for (const std::uint64_t replica :
           {std::uint64_t{0}, std::uint64_t{1}, word, slowsde::replica_limit - 1})
        for (const std::uint32_t worker : {0u, 1u, slowsde::worker_limit - 1})
          for (const std::uint64_t block :
               {std::uint64_t{0}, std::uint64_t{1}, word - 1, word, ~std::uint64_t{0}})
            addresses.push_back({seed, stream, replica, worker, block});
  return addresses;
}

}  // namespace

TEST_CASE("the device draws the host's words at every address") {
  const std::vector<Address> addresses = corner_addresses();
  const std::vector<Words> device = on_device(addresses);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const Address& a = addresses[i];
    CHECK(device[i] == slowsde::random_words(a.seed, a.stream, a.replica, a.worker, a.block));
    // Of another address: a kernel that ignored a field would be seen.
    CHECK(device[i] != slowsde::random_words(a.seed, a.stream, a.replica, a.worker, a.block + 1));
    CHECK(device[i] != slowsde::random_words(a.seed + 1, a.stream, a.replica, a.worker, a.block));
  }
}
