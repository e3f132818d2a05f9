# Headers of others that most translation units read, parsed once. Nothing relies on it: every file includes what it
# uses, and the check of the headers (tests/build) and every user of the package compile without.
option(SLOWSDE_PRECOMPILE "Precompile the headers of the standard library and of Eigen" ON)

# -fpch-preprocess lets a compiler cache see the precompiled header. GCC is silent on its false alarms inside the
# standard library's strings when it has read them as a system header, not when they come precompiled.
set(slowsde_precompile_flags -fpch-preprocess -Wno-stringop-overread -Wno-stringop-overflow -Wno-restrict)
list(TRANSFORM slowsde_precompile_flags
     REPLACE "(.+)" "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:\\1>")

function(slowsde_precompile target)
  if(SLOWSDE_PRECOMPILE)
    set(headers <Eigen/Dense> <algorithm> <array> <cmath> <cstdint> <filesystem> <functional> <map> <memory> <optional>
                <sstream> <stdexcept> <string> <vector>)
    list(TRANSFORM headers REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:\\1>")
    target_precompile_headers(${target} PRIVATE ${headers})
    target_compile_options(${target} PRIVATE ${slowsde_precompile_flags})
  endif()
endfunction()

# For a target with the same compile definitions and options as one that has precompiled headers.
function(slowsde_reuse_precompiled target from)
  if(SLOWSDE_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${from})
    target_compile_options(${target} PRIVATE ${slowsde_precompile_flags})
  endif()
endfunction()
