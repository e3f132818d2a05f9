#include "slowsde/experiments/nearest.hpp"

#include <doctest/doctest.h>

using slowsde::edit_distance;
using slowsde::nearest;
using slowsde::suggestion;

TEST_CASE("the edit distance counts insertions, deletions, replacements and swaps of neighbours") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("eta", "") == 3);
  CHECK(edit_distance("", "eta") == 3);
  CHECK(edit_distance("problm", "problem") == 1);
  CHECK(edit_distance("valley", "vallye") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("sitting", "kitten") == 3);
}

TEST_CASE("the nearest candidate is found and a far one is not suggested") {
  CHECK(nearest("valey", {"circle", "valley", "two-valleys"}) == "valley");
  CHECK(nearest("zzzzzz", {"circle", "valley"}) == "");
  CHECK(nearest("ab", {"cd"}) == "");
  CHECK(nearest("x", {}) == "");
  CHECK(suggestion("circel", {"circle"}) == "; did you mean 'circle'?");
  CHECK(suggestion("mlp", {"circle"}) == "");
}
