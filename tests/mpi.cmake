# Trainings split over processes, with mpirun on this machine's processors.
if(NOT SLOWSDE_MPI)
  return()
endif()
add_executable(mpi_ranks mpi/ranks.cpp)
target_link_libraries(mpi_ranks PRIVATE slowsde slowsde_warnings)
target_include_directories(mpi_ranks PRIVATE ${PROJECT_SOURCE_DIR})

set(mpirun ${MPIEXEC_EXECUTABLE})
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE mpirun_version ERROR_QUIET)
if(mpirun_version MATCHES "Open MPI|Open RTE|OpenRTE")
  list(APPEND mpirun --allow-run-as-root --oversubscribe)
endif()
foreach(ranks 2 3 4)
  add_test(NAME mpi_${ranks}_ranks COMMAND ${mpirun} ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:mpi_ranks> hold)
  set_tests_properties(mpi_${ranks}_ranks PROPERTIES LABELS unit PROCESSORS 2 PASS_REGULAR_EXPRESSION
                                                     "${ranks} ranks hold")
endforeach()
foreach(how stop kill)
  add_test(NAME mpi_lost_rank_${how}
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/mpi/check_lost_rank.py ${how} 40
                   ${mpirun} ${MPIEXEC_NUMPROC_FLAG} 3 $<TARGET_FILE:mpi_ranks> lose ${how} 2)
  set_tests_properties(mpi_lost_rank_${how} PROPERTIES LABELS unit PROCESSORS 2 TIMEOUT 60)
endforeach()
add_test(NAME mpi_lost_rank_roll
         COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/mpi/check_lost_rank.py stop 40
                 ${mpirun} ${MPIEXEC_NUMPROC_FLAG} 3 $<TARGET_FILE:mpi_ranks> roll 300)
set_tests_properties(mpi_lost_rank_roll PROPERTIES LABELS unit PROCESSORS 2 TIMEOUT 60)
if(TARGET slowsde_program)
  add_test(NAME mpi_same_result
           COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/mpi/check_same_result.py $<TARGET_FILE:slowsde_program>
                   ${mpirun} ${MPIEXEC_NUMPROC_FLAG} 3)
  set_tests_properties(mpi_same_result PROPERTIES LABELS unit PROCESSORS 2)
endif()
