# Tests of bench/'s scripts (label bench): on made-up measurements, with programs that stand for those that need a GPU, and
# of what the NumPy peers compute.
find_program(SLOWSDE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)
foreach(name gpu_figure gpu_peers gpu_script gpu_sweep numpy_peers sass_floor)
  add_test(NAME bench_${name} COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_${name}.py)
  set_tests_properties(bench_${name} PROPERTIES LABELS bench SKIP_RETURN_CODE 77)
endforeach()
