#include "slowsde/problems/accuracy.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace slowsde {

double accuracy(const LeastSquaresModel& model, const std::vector<double>& y, const Eigen::VectorXd& theta) {
  const int C = model.outputs(), n = model.samples();
  if (y.size() != static_cast<std::size_t>(n) * C)
    throw std::invalid_argument("accuracy: y.size() == n C is violated by " + std::to_string(y.size()) +
                                " targets for " + std::to_string(n) + " x " + std::to_string(C));
  Eigen::VectorXd r;
  model.residual(theta, r);
  int hits = 0;
  for (int i = 0; i < n; ++i) {
    int label = 0, guess = -1;
    double most = 0;
    for (int c = 0; c < C; ++c) {
      const int a = i * C + c;
      if (y[a] > y[i * C + label]) label = c;
      const double f = r[a] + y[a];
      if (std::isfinite(f) && (guess < 0 || f > most)) {
        most = f;
        guess = c;
      }
    }
    if (guess == label) ++hits;
  }
  return static_cast<double>(hits) / n;
}

}  // namespace slowsde
