#include "slowsde/problems/mlp.hpp"

#include <sstream>
#include <stdexcept>

#include "slowsde/problems/random_address.hpp"

namespace slowsde {
namespace {

using Eigen::VectorXd;

void require_fit(const MlpShape& shape, const Dataset& data) {
  shape.check();
  data.check();
  std::ostringstream message;
  if (shape.inputs() != data.inputs) {
    message << "network: widths.front() = " << shape.inputs() << " differs from the data's " << data.inputs
            << " inputs";
    throw std::invalid_argument(message.str());
  }
  if (shape.outputs() != data.outputs) {
    message << "network: widths.back() = " << shape.outputs() << " differs from the data's " << data.outputs
            << " outputs";
    throw std::invalid_argument(message.str());
  }
}

// The shape is checked against the data before a network is made of it.
Network network_of(const MlpShape& shape, const Dataset& data) {
  require_fit(shape, data);
  return mlp_network(shape.widths, shape.activation);
}

}  // namespace

int MlpShape::weight_offset(int layer) const {
  int offset = 0;
  for (int l = 0; l < layer; ++l) offset += (widths[l] + 1) * widths[l + 1];
  return offset;
}

void MlpShape::check() const {
  if (widths.size() < 2) {
    throw std::invalid_argument("network: widths.size() >= 2 is violated by " +
                                std::to_string(widths.size()));
  }
  for (const int width : widths) {
    if (width < 1) throw std::invalid_argument("network: width >= 1 is violated by " + std::to_string(width));
  }
  if (activation == Activation::relu) {
    throw std::invalid_argument("network: activation = tanh or silu is violated by relu");
  }
}

VectorXd initial_parameters(const MlpShape& shape, std::uint64_t seed, double gain) {
  shape.check();
  return initial_parameters(shape, seed, std::vector<double>(shape.layers(), gain));
}

VectorXd initial_parameters(const MlpShape& shape, std::uint64_t seed, const std::vector<double>& gains) {
  shape.check();
  if (static_cast<int>(gains.size()) != shape.layers()) {
    throw std::invalid_argument("network: gains.size() = layers is violated by " +
                                std::to_string(gains.size()));
  }
  VectorXd theta = VectorXd::Zero(shape.dim());
  for (int l = 0; l < shape.layers(); ++l) {
    const int count = shape.widths[l] * shape.widths[l + 1];
    const double scale = gains[l] / std::sqrt(static_cast<double>(shape.widths[l]));
    for (int j = 0; j < count; ++j) {
      theta[shape.weight_offset(l) + j] = scale * normal_at(seed, Stream::initial, 0, 1 + l, j);
    }
  }
  return theta;
}

MlpFit::MlpFit(MlpShape shape, Dataset data) : shape_(std::move(shape)), data_(std::move(data)) {
  require_fit(shape_, data_);
  for (int l = 0; l <= shape_.layers(); ++l) {
    offsets_.push_back(shape_.weight_offset(l));
    starts_.push_back(activations_size_);
    activations_size_ += shape_.widths[l];
    widest_ = std::max(widest_, shape_.widths[l]);
  }
}

MlpModel::MlpModel(MlpShape shape, const Dataset& data)
    : NetworkModel(network_of(shape, data), data), shape_(std::move(shape)) {}

}  // namespace slowsde
