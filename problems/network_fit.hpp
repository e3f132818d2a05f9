// A network with a data set as a least-squares problem whose scalar type is free, so that it enters the
// simulators that run lanes across replicas.
#pragma once

#include <utility>
#include <vector>

#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// L(θ) = (1/2n) Σ_i |f(θ, x_i) − y_i|² for any network, sample by sample.
class NetworkFit {
 public:
  /// Throws std::invalid_argument when the network's inputs and outputs are not the data's.
  NetworkFit(Network network, Dataset data);

  int dim() const { return network_.dim(); }
  int samples() const { return data_.n; }
  int outputs_count() const { return network_.outputs(); }
  int scratch_size() const { return scratch_size_; }
  const Network& network() const { return network_; }
  const Dataset& data() const { return data_; }

  /// f(θ, x_i): (C). Allocates its scratch.
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const;

  template <class I, class T>
  void targets(const I& i, T* y) const {
    for (int c = 0; c < outputs_count(); ++c) y[c] = entry<T>(data_.y, i, outputs_count(), c);
  }

  /// g += ∇ ½|f(θ, x_i) − y_i − eps|². eps: (C); g: (d); scratch: (scratch_size()), contents irrelevant.
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T* scratch) const;

 private:
  template <class T, class I>
  static T entry(const std::vector<double>& table, const I& i, int width, int column) {
    return lookup<T>(table.data() + column, i * width);
  }

  Network network_;
  Dataset data_;
  int scratch_size_ = 0;
};

}  // namespace slowsde
