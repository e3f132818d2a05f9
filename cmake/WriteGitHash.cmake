# cmake -DSOURCE=DIR -DOUTPUT=FILE -P WriteGitHash.cmake
cmake_minimum_required(VERSION 3.25)
set(hash "unknown")
find_program(git git)
if(git)
  # The top of the repository must be SOURCE: a copy of the sources inside another repository has no hash of its own.
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --show-toplevel
                  OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  file(REAL_PATH ${SOURCE} source)
  if(top STREQUAL source)
    execute_process(COMMAND ${git} -C ${SOURCE} describe --always --dirty --abbrev=40 --exclude=*
                    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(found)
      set(hash ${found})
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT "#pragma once\n#define SLOWSDE_GIT_HASH \"@hash@\"\n")
