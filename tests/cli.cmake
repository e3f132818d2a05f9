# Tests of the program as a user runs it: of `slowsde` itself, and of one with the tests' experiment in it.
add_executable(slowsde_test_program support/program.cpp)
target_link_libraries(slowsde_test_program PRIVATE slowsde slowsde_warnings)
target_include_directories(slowsde_test_program PRIVATE ${PROJECT_SOURCE_DIR})

add_dependencies(test_cli slowsde_program slowsde_test_program)
target_compile_definitions(test_cli PRIVATE
  SLOWSDE_PROGRAM="$<TARGET_FILE:slowsde_program>"
  SLOWSDE_TEST_PROGRAM="$<TARGET_FILE:slowsde_test_program>"
  SLOWSDE_CXX_COMPILER="${CMAKE_CXX_COMPILER}"
  SLOWSDE_INCLUDE_FOLDER="${PROJECT_BINARY_DIR}/include")

add_dependencies(test_bad_input slowsde_program)
target_compile_definitions(test_bad_input PRIVATE SLOWSDE_PROGRAM="$<TARGET_FILE:slowsde_program>")

# The claims of the theory, measured; on an idle machine with two cores the quick suite ends within five minutes.
add_test(NAME verify_quick COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/build/check_claims.py
                                   $<TARGET_FILE:slowsde_program>)
set_tests_properties(verify_quick PROPERTIES LABELS theory PROCESSORS 2)

# Every experiment that ships is read and estimated: a key that is renamed turns its example red. Those on digits are
# skipped where the data have not been exported, which scripts/test does first.
file(GLOB shipped_configs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/experiments/configs/*.toml)
foreach(config IN LISTS shipped_configs)
  get_filename_component(name ${config} NAME_WE)
  add_test(NAME config_${name} COMMAND slowsde_program run ${config} --dry-run WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(config_${name} PROPERTIES LABELS configs SKIP_REGULAR_EXPRESSION
                                                 "results/data/digits.csv.* cannot be (opened|used)")
endforeach()
