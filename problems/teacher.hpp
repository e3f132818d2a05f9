// Classification data whose labels a network decides.
#pragma once

#include <algorithm>
#include <vector>

#include "slowsde/problems/classification_data.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// label_i = argmax_c f_c(θ_teacher, x_i), the first of equal ones, for a fit whose `outputs(theta, i, f)`
/// runs over `inputs.x`; the targets of `inputs` are not used. The classes of a random teacher are not
/// equally frequent. A student of the teacher's architecture can fit the labels, wide margins included, since
/// the teacher's last layer times any number decides alike. Throws std::invalid_argument when the shape is
/// not that of the inputs.
template <class Fit>
ClassificationData teacher_labels(const Dataset& inputs, const ImageShape& shape, const Fit& teacher,
                                  const double* theta) {
  inputs.check();
  detail::require(shape.size() == inputs.inputs, "teacher", "size of the shape = inputs", shape.size());
  ClassificationData data{.shape = shape,
                          .classes = inputs.outputs,
                          .x = std::vector<float>(inputs.x.begin(), inputs.x.end()),
                          .labels = {}};
  std::vector<double> f(static_cast<std::size_t>(inputs.outputs));
  for (int i = 0; i < inputs.n; ++i) {
    teacher.outputs(theta, i, f.data());
    data.labels.push_back(static_cast<int>(std::max_element(f.begin(), f.end()) - f.begin()));
  }
  return data;
}

}  // namespace slowsde
