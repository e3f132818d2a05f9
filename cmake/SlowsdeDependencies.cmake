# Everything comes from the system's packages; nothing is downloaded.
find_package(Threads REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(Boost 1.74 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(fmt REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(netcdf REQUIRED IMPORTED_TARGET netcdf)

# What only slowsde's own .cpp files use; no installed header needs it.
add_library(slowsde_private_dependencies INTERFACE)
target_link_libraries(slowsde_private_dependencies INTERFACE $<BUILD_INTERFACE:CLI11::CLI11> fmt::fmt
                                                             tomlplusplus::tomlplusplus PkgConfig::netcdf)

if(SLOWSDE_MPI)
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    target_link_libraries(slowsde_private_dependencies INTERFACE MPI::MPI_CXX)
  else()
    message(STATUS "No MPI: trainings run in one process (libopenmpi-dev, openmpi-bin)")
    set(SLOWSDE_MPI OFF)
  endif()
endif()
