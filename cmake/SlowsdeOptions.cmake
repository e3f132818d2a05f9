# Build options and the flags that every slowsde translation unit, and every user of its templates, must share.

option(SLOWSDE_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(SLOWSDE_SANITIZE "Address and undefined-behaviour sanitizers" OFF)
option(SLOWSDE_CUDA "CUDA kernels" OFF)
option(SLOWSDE_MPI "Trainings over several processes, where MPI is found" ON)
set(SLOWSDE_MARCH "native" CACHE STRING "-march= of the step loops; empty for the compiler's portable default")
include(SlowsdeInstructionSet)
slowsde_instruction_set(SLOWSDE_INSTRUCTION_SET_FLAGS "${SLOWSDE_MARCH}")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")

# Contraction is off so that the bits of a result do not depend on which multiply-adds a compiler chose to fuse.
# The pack types hand whole vectors through inlined calls, hence the ABI note is of no concern. On the
# device the standard library's constexpr functions (std::array) are allowed.
set(SLOWSDE_ARITHMETIC_FLAGS
    $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
    $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno>
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-psabi>
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>
    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffp-contract=off,-fno-math-errno,-Wno-psabi>)
foreach(flag IN LISTS SLOWSDE_INSTRUCTION_SET_FLAGS)
  list(APPEND SLOWSDE_ARITHMETIC_FLAGS $<$<COMPILE_LANGUAGE:CXX>:${flag}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
endforeach()

# GCC 12's own AVX-512 intrinsics set off its uninitialized warnings wherever Eigen inlines them (GCC bug 105593), and
# their loads under a branch on the size that is never taken its array bounds.
add_library(slowsde_warnings INTERFACE)
target_compile_options(slowsde_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-uninitialized -Wno-maybe-uninitialized
   -Wno-array-bounds>)
if(SLOWSDE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
