#include "slowsde/problems/random_address.hpp"

#include <stdexcept>
#include <string>

#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

void check_address(std::uint64_t replicas, std::uint64_t workers) {
  if (!(replicas <= replica_limit))
    throw std::out_of_range("replicas <= 2^40 is violated by " + std::to_string(replicas));
  if (!(workers <= worker_limit))
    throw std::out_of_range("workers <= 2^16 is violated by " + std::to_string(workers));
}

double normal_at(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                 std::uint64_t index) {
  return RandomPack<double>(seed, stream, replica).normal(worker, index)[0];
}

double uniform_at(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                  std::uint64_t index) {
  const auto words = random_words(seed, stream, replica, worker, index / 2);
  const std::size_t half = 2 * (index % 2);
  const std::uint64_t joined = (static_cast<std::uint64_t>(words[half]) << 32) | words[half + 1];
  return static_cast<double>(joined >> 12) * 0x1p-52 + 0x1p-53;
}

}  // namespace slowsde
