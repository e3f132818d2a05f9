# What experiments/build_info.cpp is told about the build. The git hash is looked up at every build, and only a change
# of it compiles anything.
set(generated ${PROJECT_BINARY_DIR}/generated)
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
set(flags ${SLOWSDE_ARITHMETIC_FLAGS})
list(FILTER flags EXCLUDE REGEX "COMPILE_LANGUAGE:CUDA")
string(REGEX REPLACE "\\$<\\$<COMPILE_LANGUAGE:CXX>:([^>]*)>" "\\1" flags "${flags}")
list(JOIN flags " " flags)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}} ${flags}" flags)

file(CONFIGURE OUTPUT ${generated}/slowsde_build_info.hpp @ONLY CONTENT [=[
#pragma once
#define SLOWSDE_VERSION "@PROJECT_VERSION@"
#define SLOWSDE_COMPILER "@CMAKE_CXX_COMPILER_ID@ @CMAKE_CXX_COMPILER_VERSION@"
#define SLOWSDE_BUILD_TYPE "@CMAKE_BUILD_TYPE@"
#define SLOWSDE_FLAGS "@flags@"
#define SLOWSDE_INSTALLED_PLOTS "@CMAKE_INSTALL_FULL_DATADIR@/slowsde/plots"
#define SLOWSDE_SOURCE_PLOTS "@PROJECT_SOURCE_DIR@/plots"
#define SLOWSDE_INSTALLED_PEERS "@CMAKE_INSTALL_FULL_DATADIR@/slowsde/peers"
#define SLOWSDE_SOURCE_PEERS "@PROJECT_SOURCE_DIR@/bench/peers"
]=])

add_custom_target(slowsde_git_hash
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DOUTPUT=${generated}/slowsde_git_hash.hpp
          -P ${PROJECT_SOURCE_DIR}/cmake/WriteGitHash.cmake
  BYPRODUCTS ${generated}/slowsde_git_hash.hpp
  COMMENT "Looking up the git hash")
add_dependencies(slowsde slowsde_git_hash)
target_include_directories(slowsde PRIVATE ${generated})
