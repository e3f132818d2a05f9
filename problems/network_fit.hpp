// A network with a data set as a least-squares problem whose scalar type is free, so that it enters the
// simulators that run lanes across replicas.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_pass.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// L(θ) = (1/2n) Σ_i |f(θ, x_i) − y_i|² for any network, sample by sample. MlpFit is the same for dense
/// networks and faster there; this one also has convolutions and group norm.
class NetworkFit {
 public:
  /// Throws std::invalid_argument when the network's inputs and outputs are not the data's.
  NetworkFit(Network network, Dataset data);

  int dim() const { return network_.dim(); }
  int samples() const { return data_.n; }
  int outputs_count() const { return network_.outputs(); }
  int scratch_size() const { return network_.inputs() + static_cast<int>(plan_.size()); }
  const Network& network() const { return network_; }
  const Dataset& data() const { return data_; }

  /// f(θ, x_i): (C). Allocates its scratch.
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    std::vector<T> scratch(static_cast<std::size_t>(scratch_size()));
    NetworkPass<T> pass = forward(theta, i, scratch.data());
    std::copy(pass.output(0), pass.output(0) + outputs_count(), f);
  }

  template <class I, class T>
  void targets(const I& i, T* y) const {
    for (int c = 0; c < outputs_count(); ++c) y[c] = entry<T>(data_.y, i, outputs_count(), c);
  }

  /// g += ∇ ½|f(θ, x_i) − y_i − eps|². eps: (C); g: (d); scratch: (scratch_size()), contents irrelevant.
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T* scratch) const {
    NetworkPass<T> pass = forward(theta, i, scratch);
    for (int c = 0; c < outputs_count(); ++c)
      pass.output_adjoint(0)[c] = pass.output(0)[c] - entry<T>(data_.y, i, outputs_count(), c) - eps[c];
    pass.reverse(theta, GradientSum<0, T, T>(1, nullptr, g));
  }

 private:
  /// Entry (i, column) of a row-major table; a pack of indices gathers one sample per lane.
  template <class T, class I>
  static T entry(const std::vector<double>& table, const I& i, int width, int column) {
    return lookup<T>(table.data() + column, i * width);
  }

  /// A pass over one column, after its forward half; the scratch begins with the inputs.
  template <class T, class I>
  NetworkPass<T> forward(const T* theta, const I& i, T* scratch) const {
    const int inputs = network_.inputs();
    for (int j = 0; j < inputs; ++j) scratch[j] = entry<T>(data_.x, i, inputs, j);
    NetworkPass<T> pass(network_, plan_, scratch + inputs);
    pass.forward(theta, scratch);
    return pass;
  }

  Network network_;
  Dataset data_;
  PassPlan plan_;
};

}  // namespace slowsde
