// Data sets as a network's passes read them.
#pragma once

#include <sstream>
#include <stdexcept>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/network.hpp"

namespace slowsde::detail {

/// Throws std::invalid_argument unless the network maps the data's inputs to its outputs.
inline void require_fit(const Network& network, const Dataset& data) {
  data.check();
  const auto refuse = [](int own, const char* what, int given) {
    std::ostringstream message;
    message << "network: " << own << ' ' << what << " differ from the data's " << given;
    throw std::invalid_argument(message.str());
  };
  if (network.inputs() != data.inputs) refuse(network.inputs(), "inputs", data.inputs);
  if (network.outputs() != data.outputs) refuse(network.outputs(), "outputs", data.outputs);
}

}  // namespace slowsde::detail
