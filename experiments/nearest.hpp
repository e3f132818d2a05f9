// The "did you mean" of every error message about a name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slowsde {

/// Number of insertions, deletions, replacements and swaps of neighbours that lead from a to b (optimal
/// string alignment distance).
int edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, the first of equals; empty where none is near enough to be a likely
/// misspelling: a distance of at most 2, or of at most a third of the longer word.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// "; did you mean 'NEAREST'?", or empty where there is none.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace slowsde
