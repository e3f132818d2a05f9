// Accuracy of a least-squares classifier: how often its largest output is the right one.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "slowsde/problems/least_squares_model.hpp"

namespace slowsde {

/// Share of the model's samples whose largest output f_ic, c = 1 … C, is that of the largest target y_ic; the
/// first of equals counts. y: (n × C), the model's own targets. Throws std::invalid_argument for another size
/// of y. An output that is not finite is never the largest.
double accuracy(const LeastSquaresModel& model, const std::vector<double>& y, const Eigen::VectorXd& theta);

}  // namespace slowsde
