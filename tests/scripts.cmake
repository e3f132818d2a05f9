# Tests of the scripts that ship for other programs (label scripts). Those for PyTorch are skipped where there is none.
find_program(SLOWSDE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
add_test(NAME export_spectrum COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/test_export_spectrum.py)
set_tests_properties(export_spectrum PROPERTIES LABELS scripts SKIP_RETURN_CODE 77)
