// Refusal of impossible parameters: one line that names the owner, the violated inequality and the value.
#pragma once

#include <sstream>
#include <stdexcept>

namespace slowsde::detail {

/// Throws std::invalid_argument "owner: inequality is violated by value" unless `holds`. Write the comparison
/// so that NaN makes it false.
template <class Value>
void require(bool holds, const char* owner, const char* inequality, const Value& value) {
  if (holds) return;
  std::ostringstream message;
  message << owner << ": " << inequality << " is violated by " << value;
  throw std::invalid_argument(message.str());
}

}  // namespace slowsde::detail
