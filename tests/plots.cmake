# Tests of the figures (label plots): the scripts on made-up run directories.
find_program(SLOWSDE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME plots COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/plots/test_plots.py)
set_tests_properties(plots PROPERTIES LABELS plots)
