#include "slowsde/gpu/device_sort.hpp"

#include <thrust/device_ptr.h>
#include <thrust/sort.h>
#include <thrust/system_error.h>

#include <new>
#include <string>

#include "slowsde/gpu/cuda_check.hpp"

namespace slowsde {

void sort_on_device(std::uint64_t* keys, std::size_t count) {
  const auto begin = thrust::device_pointer_cast(keys);
  try {
    thrust::sort(begin, begin + static_cast<std::ptrdiff_t>(count));
  } catch (const thrust::system_error& e) {
    throw DeviceError(std::string("CUDA: sorting on the device: ") + e.what());
  } catch (const std::bad_alloc&) {
    throw DeviceError("CUDA: out of memory: no room to sort " + std::to_string(count) + " numbers");
  }
}

}  // namespace slowsde
