# slowsde_add_problem(NAME HEADER [STRUCT Struct])
#
# Builds a program `slowsde` in the project's build directory that has all of slowsde's commands and, beside the
# library's problems, NAME: the struct of HEADER (a path relative to the calling CMakeLists.txt). The struct is called
# NAME too unless STRUCT says otherwise. Several calls in one project add to one program, whose target is
# slowsde_with_problems. Where slowsde has CUDA and the project a CUDA compiler, the kernels of NAME's iterates are
# compiled too, from the same header: its member functions are then marked SLOWSDE_HD.
function(slowsde_add_problem name header)
  cmake_parse_arguments(PARSE_ARGV 2 argument "" "STRUCT" "")
  if(argument_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slowsde_add_problem(${name}): unknown argument ${argument_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_-]*$")
    message(FATAL_ERROR "slowsde_add_problem: the name '${name}' is not letters, digits, - and _")
  endif()
  get_filename_component(path ${header} ABSOLUTE)
  if(NOT EXISTS ${path})
    message(FATAL_ERROR "slowsde_add_problem(${name}): no file ${path}")
  endif()
  if(NOT argument_STRUCT)
    set(argument_STRUCT ${name})
  endif()
  if(NOT argument_STRUCT MATCHES "^[A-Za-z_][A-Za-z0-9_:]*$")
    message(FATAL_ERROR "slowsde_add_problem(${name}): '${argument_STRUCT}' names no C++ struct; say STRUCT Name")
  endif()

  if(NOT TARGET slowsde_with_problems)
    set(main ${CMAKE_BINARY_DIR}/slowsde_with_problems/main.cpp)
    # Written when the project is generated, that is with the problems of all calls.
    string(CONCAT text
      "$<JOIN:$<TARGET_PROPERTY:slowsde_with_problems,SLOWSDE_INCLUDES>,\n>\n"
      "#include \"slowsde/experiments/cli.hpp\"\n"
      "#include \"slowsde/experiments/problem_entry.hpp\"\n\n"
      "int main(int argc, char** argv) {\n"
      "  return slowsde::main(argc, argv, [](slowsde::Registry& registry) {\n"
      "    $<JOIN:$<TARGET_PROPERTY:slowsde_with_problems,SLOWSDE_REGISTRATIONS>,$<SEMICOLON>\n    >$<SEMICOLON>\n"
      "  })$<SEMICOLON>\n"
      "}\n")
    file(GENERATE OUTPUT ${main} CONTENT "${text}")
    add_executable(slowsde_with_problems ${main})
    set_source_files_properties(${main} PROPERTIES GENERATED ON)
    set_target_properties(slowsde_with_problems PROPERTIES OUTPUT_NAME slowsde
                                                           RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    target_link_libraries(slowsde_with_problems PRIVATE slowsde::slowsde)
    if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)  # a project that says nothing wants the fast loops
      target_compile_options(slowsde_with_problems PRIVATE -O3 -DNDEBUG)
    endif()
  endif()
  set(arguments "registry, \"${name}\"")
  if(TARGET slowsde::slowsde_gpu AND CMAKE_CUDA_COMPILER_LOADED)
    set(kernels ${CMAKE_BINARY_DIR}/slowsde_with_problems/${name}_kernels.cu)
    file(CONFIGURE OUTPUT ${kernels} @ONLY CONTENT
         "#include \"@path@\"\n#include \"slowsde/gpu/ensemble_kernels.cuh\"\n\nSLOWSDE_ENSEMBLE_KERNELS(@argument_STRUCT@);\n")
    target_sources(slowsde_with_problems PRIVATE ${kernels})
    set_target_properties(slowsde_with_problems PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
                                                           CUDA_RUNTIME_LIBRARY None LINKER_LANGUAGE CXX)
    string(APPEND arguments ", \"a problem of the user's\", {}, slowsde::kernels_of<${argument_STRUCT}>()")
  endif()
  set_property(TARGET slowsde_with_problems APPEND PROPERTY SLOWSDE_INCLUDES "#include \"${path}\"")
  set_property(TARGET slowsde_with_problems APPEND PROPERTY
               SLOWSDE_REGISTRATIONS "slowsde::add_problem<${argument_STRUCT}>(${arguments})")
endfunction()
