# CUDA kernels: gpu/*.cu make the library slowsde_gpu, which the library and the program then need.
set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures to compile for")
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# The runtime comes as a link dependency of its own, so that a C++ linker can link the static library too.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
include(SlowsdeCudaLanguage)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "SLOWSDE_CUDA needs nvcc of CUDA 12 or newer (CMAKE_CUDA_COMPILER)")
endif()
find_package(CUDAToolkit 12 REQUIRED)

file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/gpu/*.cu)
if(cuda_sources)
  add_library(slowsde_gpu STATIC ${cuda_sources})
  add_library(slowsde::slowsde_gpu ALIAS slowsde_gpu)
  target_link_libraries(slowsde_gpu PUBLIC slowsde CUDA::cudart_static CUDA::cublas)
  target_compile_options(slowsde_gpu PRIVATE $<TARGET_PROPERTY:slowsde_warnings,INTERFACE_COMPILE_OPTIONS>)
  # Both ways: the kernels use the library's functions, and the library calls the kernels and CUDA's runtime.
  target_link_libraries(slowsde PUBLIC slowsde_gpu)
  target_compile_definitions(slowsde PUBLIC SLOWSDE_CUDA=1)

  # Optional: averages over several GPUs.
  find_path(SLOWSDE_NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(SLOWSDE_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(SLOWSDE_NCCL_INCLUDE_DIR AND SLOWSDE_NCCL_LIBRARY)
    target_compile_definitions(slowsde PRIVATE SLOWSDE_NCCL=1)
    target_include_directories(slowsde SYSTEM PRIVATE ${SLOWSDE_NCCL_INCLUDE_DIR})
    target_link_libraries(slowsde PRIVATE ${SLOWSDE_NCCL_LIBRARY})
  else()
    message(STATUS "No NCCL: GPUs of several processes average through the hosts")
  endif()
endif()
