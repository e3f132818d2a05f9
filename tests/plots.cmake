# Tests of the figures, of the report and of the notebooks (label plots), on made-up run directories. The page is looked at
# in Chromium where there is one, and that test is skipped, never passed, where there is none.
find_program(SLOWSDE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
foreach(name plots report page notebooks)
  add_test(NAME ${name} COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/plots/test_${name}.py)
  set_tests_properties(${name} PROPERTIES LABELS plots SKIP_RETURN_CODE 77)
endforeach()
