// Configurations of tests that differ from a first one in a place.
#pragma once

#include <doctest/doctest.h>

#include <string>

namespace slowsde::test {

/// `text` with the first `from` replaced, which has to be there.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace slowsde::test
