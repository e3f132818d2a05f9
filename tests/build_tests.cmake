# Tests of the build itself (label build): headers alone, include order, the package as a user sees it.
find_program(SLOWSDE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
set(build_checks ${CMAKE_CURRENT_SOURCE_DIR}/build)

# An executable with the tests' main and no case, to see that it fails.
add_executable(empty_test ${build_checks}/empty.cpp)
target_link_libraries(empty_test PRIVATE slowsde_test_main)

add_test(NAME build_layers COMMAND ${SLOWSDE_PYTHON} ${build_checks}/check_layers.py ${PROJECT_SOURCE_DIR})
add_test(NAME build_launches COMMAND ${SLOWSDE_PYTHON} ${build_checks}/check_launches.py ${PROJECT_SOURCE_DIR})
add_test(NAME build_patches COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/mutations/check_patches.py
                                    ${PROJECT_SOURCE_DIR})
add_test(NAME build_checks COMMAND ${SLOWSDE_PYTHON} ${build_checks}/test_checks.py ${PROJECT_SOURCE_DIR}
                                   $<TARGET_FILE:empty_test> ${CMAKE_CXX_COMPILER})

add_test(NAME build_headers COMMAND ${SLOWSDE_PYTHON} ${build_checks}/check_headers.py ${PROJECT_SOURCE_DIR} 2
                                    ${PROJECT_BINARY_DIR}/compile_commands.json ${build_checks}/empty.cpp)
add_test(NAME build_without_parts COMMAND ${SLOWSDE_PYTHON} ${build_checks}/check_without_parts.py ${PROJECT_SOURCE_DIR} 2
                                          ${PROJECT_BINARY_DIR}/compile_commands.json)
set_tests_properties(build_headers build_without_parts PROPERTIES PROCESSORS 2)

foreach(kind installed build-tree)
  add_test(NAME build_consumer_${kind}
           COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${build_checks}/consumer
                   -DSCRATCH=${PROJECT_BINARY_DIR}/consumer/${kind} -DCXX=${CMAKE_CXX_COMPILER}
                   -DGENERATOR=${CMAKE_GENERATOR} -DKIND=${kind} -P ${build_checks}/check_consumer.cmake)
  set_tests_properties(build_consumer_${kind} PROPERTIES PROCESSORS 2)
endforeach()

add_test(NAME build_scaffold
         COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
                 -DSCRATCH=${PROJECT_BINARY_DIR}/scaffold -DCXX=${CMAKE_CXX_COMPILER} -DGENERATOR=${CMAKE_GENERATOR}
                 -P ${build_checks}/check_scaffold.cmake)
set_tests_properties(build_layers build_launches build_patches build_checks build_headers build_without_parts
                     build_consumer_installed
                     build_consumer_build-tree build_scaffold PROPERTIES LABELS build)
