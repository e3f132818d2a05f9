// Memory on the GPU, freed with its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

#if defined(SLOWSDE_CUDA)

/// `size` elements of T in the memory of the current device; not initialized. Moves, never copies itself.
template <class T>
class DeviceArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceArray() = default;
  /// Throws DeviceError with the size asked for and what is free where there is not enough memory.
  explicit DeviceArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T))
      throw DeviceError("CUDA: an array of " + std::to_string(size) + " elements has no size in bytes");
    const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T));
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // the error is not sticky: what comes next starts clean
      std::size_t free = 0, total = 0;
      check_cuda(cudaMemGetInfo(&free, &total), "asking for the free memory");
      throw DeviceError("CUDA: out of memory: " + std::to_string(size * sizeof(T)) + " bytes asked for, " +
                        std::to_string(free) + " of " + std::to_string(total) + " free");
    }
    check_cuda(status, "allocating memory");
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    upload(host.data(), host.size());
  }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }  // a destructor has nobody to tell

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }

  /// Both wait until the copy is done. `count` ≤ size().
  void upload(const T* host, std::size_t count) {
    if (count != 0)
      check_cuda(cudaMemcpy(data_, host, count * sizeof(T), cudaMemcpyHostToDevice), "copying to the device");
  }
  void download(T* host, std::size_t count) const {
    if (count != 0)
      check_cuda(cudaMemcpy(host, data_, count * sizeof(T), cudaMemcpyDeviceToHost), "copying to the host");
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

/// How many replicas of `each` bytes the memory of the current device has room for, with a tenth left to
/// others. Throws DeviceError where there is none for a single one.
inline std::uint64_t replicas_with_room(std::size_t each, int workers) {
  std::size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "asking for the free memory");
  const std::uint64_t room = free / 10 * 9 / each;
  if (room == 0)
    throw DeviceError("CUDA: out of memory: one replica of " + std::to_string(workers) + " workers takes " +
                      std::to_string(each) + " bytes, " + std::to_string(free) + " of " +
                      std::to_string(total) + " are free");
  return room;
}

#endif

}  // namespace slowsde
