# Installation and the package that find_package(slowsde) finds, installed or in the build tree.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/slowsde)
set(share_dir ${CMAKE_INSTALL_DATADIR}/slowsde)

set(exported_targets slowsde slowsde_private_dependencies)
set(SLOWSDE_PACKAGE_HAS_CUDA OFF)
if(TARGET slowsde_gpu)
  set(SLOWSDE_PACKAGE_HAS_CUDA ON)
  list(APPEND exported_targets slowsde_gpu)
endif()
set_target_properties(slowsde_private_dependencies PROPERTIES EXPORT_NAME private_dependencies)
if(SLOWSDE_SANITIZE)  # whoever links an instrumented library has to be instrumented
  target_compile_options(slowsde INTERFACE -fsanitize=address,undefined)
  target_link_options(slowsde INTERFACE -fsanitize=address,undefined)
endif()

install(TARGETS ${exported_targets} EXPORT slowsdeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET slowsde_program)
  install(TARGETS slowsde_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(folder IN LISTS SLOWSDE_FOLDERS)
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${folder})
    install(DIRECTORY ${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/slowsde/${folder}
            FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh" PATTERN "configs" EXCLUDE)
  endif()
endforeach()
foreach(data experiments/configs plots bench/peers)
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${data})
    get_filename_component(name ${data} NAME)
    install(DIRECTORY ${data}/ DESTINATION ${share_dir}/${name} PATTERN "__pycache__" EXCLUDE)
  endif()
endforeach()

# The installed package and the build tree's differ only in where slowsde's files are and in that the build tree's
# targets still name the packages whose headers only slowsde's own sources include.
set(SLOWSDE_BUILD_ONLY_PACKAGES)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/slowsdeConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/package/slowsdeConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/slowsdeConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT slowsdeTargets NAMESPACE slowsde:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/package/slowsdeConfig.cmake ${PROJECT_BINARY_DIR}/package/slowsdeConfigVersion.cmake
              cmake/SlowsdeAddProblem.cmake cmake/SlowsdeCudaLanguage.cmake
        DESTINATION ${package_dir})

set(SLOWSDE_BUILD_ONLY_PACKAGES CLI11)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/slowsdeConfig.cmake.in ${PROJECT_BINARY_DIR}/slowsdeConfig.cmake
                              INSTALL_DESTINATION ${PROJECT_BINARY_DIR} INSTALL_PREFIX ${PROJECT_BINARY_DIR})
configure_file(${PROJECT_BINARY_DIR}/package/slowsdeConfigVersion.cmake ${PROJECT_BINARY_DIR}/slowsdeConfigVersion.cmake
               COPYONLY)
configure_file(cmake/SlowsdeAddProblem.cmake ${PROJECT_BINARY_DIR}/SlowsdeAddProblem.cmake COPYONLY)
configure_file(cmake/SlowsdeCudaLanguage.cmake ${PROJECT_BINARY_DIR}/SlowsdeCudaLanguage.cmake COPYONLY)
export(EXPORT slowsdeTargets NAMESPACE slowsde:: FILE ${PROJECT_BINARY_DIR}/slowsdeTargets.cmake)
