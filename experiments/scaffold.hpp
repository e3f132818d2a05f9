// The files that `slowsde new problem NAME` writes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace slowsde {

/// Throws std::invalid_argument unless `name` can name a C++ struct: an identifier that is neither a keyword
/// nor reserved.
void check_identifier(const std::string& name);

/// File names and their contents for a problem of this name; throws as check_identifier does. `package`: the
/// folder of slowsdeConfig.cmake, where CMakeLists.txt looks first; empty: it has to be told.
std::vector<std::pair<std::string, std::string>> problem_scaffold(const std::string& name,
                                                                  const std::string& package = "");

}  // namespace slowsde
