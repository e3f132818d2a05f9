# Planted faults that `slowsde verify` has to find (label mutation, part of `scripts/test --all`). They share one copy of
# the sources and its build, so they take turns, and the copy without a fault comes first.
set(mutate ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/mutations/mutate.py --source ${PROJECT_SOURCE_DIR}
           --work ${PROJECT_BINARY_DIR}/mutations --cmake ${CMAKE_COMMAND})
add_test(NAME mutation_none COMMAND ${mutate})
set_tests_properties(mutation_none PROPERTIES LABELS mutation FIXTURES_SETUP mutations TIMEOUT 7200 PROCESSORS 2)
# By name: a patch that is gone is red.
foreach(name dt-for-root-dt every-second-average-skipped local-batch-for-global loose-gradient-flow no-cross-term
             noise-of-one-worker-twice psi-is-one slow-time-off-by-eta three-for-two-local-steps workers-not-less-one)
  add_test(NAME mutation_${name} COMMAND ${mutate} ${CMAKE_CURRENT_SOURCE_DIR}/mutations/${name}.patch)
  set_tests_properties(mutation_${name} PROPERTIES LABELS mutation FIXTURES_REQUIRED mutations RESOURCE_LOCK mutations
                                                   TIMEOUT 7200 PROCESSORS 2)
endforeach()

# The quick suite with other seeds: right theories stay confirmed, whatever is drawn, and none is nearly inconclusive.
set(seeds ${PROJECT_BINARY_DIR}/seeds)
add_test(NAME seeds_folder COMMAND ${CMAKE_COMMAND} -E rm -rf ${seeds})
set_tests_properties(seeds_folder PROPERTIES LABELS seeds FIXTURES_SETUP seeds_folder)
set(seed_results)
foreach(seed RANGE 1 20)
  list(APPEND seed_results ${seeds}/${seed})
  add_test(NAME verify_seed_${seed} COMMAND slowsde_program verify --suite quick --quiet --seed ${seed} --out
                                            ${seeds}/${seed})
  set_tests_properties(verify_seed_${seed} PROPERTIES LABELS seeds PROCESSORS 2 FIXTURES_REQUIRED seeds_folder
                                                      FIXTURES_SETUP seed_results)
endforeach()
# The full suite has settings of its own: other networks, smaller learning rates.
add_test(NAME verify_full COMMAND slowsde_program verify --suite full --quiet --seed 1 --out ${seeds}/full)
set_tests_properties(verify_full PROPERTIES LABELS seeds PROCESSORS 2 TIMEOUT 7200 FIXTURES_REQUIRED seeds_folder)
add_test(NAME verify_seeds_slack COMMAND ${SLOWSDE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/seeds/verdict_slack.py
                                         ${seed_results})
set_tests_properties(verify_seeds_slack PROPERTIES LABELS seeds FIXTURES_REQUIRED seed_results)
