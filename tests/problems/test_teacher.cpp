#include "slowsde/problems/teacher.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/problems/mlp.hpp"

using namespace slowsde;

TEST_CASE("a label is the place of the teacher's largest output, the first of equal ones") {
  struct Fixed {
    void outputs(const double* theta, int i, double* f) const {
      for (int c = 0; c < 3; ++c) f[c] = theta[3 * i + c];
    }
  };
  const double outputs[] = {1, 5, 2, -3, -4, -1, 7, 7, 0, 0, 2, 2};
  const Dataset inputs = gaussian_inputs(4, 6, 3, 1);
  const ClassificationData data = teacher_labels(inputs, {1, 2, 3}, Fixed{}, outputs);
  data.check();
  CHECK(data.labels == std::vector<int>{1, 2, 0, 1});
  CHECK(data.classes == 3);
  CHECK(data.shape == ImageShape{1, 2, 3});
  for (std::size_t k = 0; k < inputs.x.size(); ++k) CHECK(data.x[k] == static_cast<float>(inputs.x[k]));
  CHECK_THROWS_WITH_AS(teacher_labels(inputs, {1, 2, 2}, Fixed{}, outputs),
                       "teacher: size of the shape = inputs is violated by 4", std::invalid_argument);
}

TEST_CASE("a network's labels are kept when its last layer is multiplied, and others for other weights") {
  const MlpShape shape{{5, 8, 4}};
  const Dataset inputs = gaussian_inputs(200, 5, 4, 3);
  Eigen::VectorXd theta = initial_parameters(shape, 7);
  const MlpFit fit(shape, inputs);
  const ClassificationData data = teacher_labels(inputs, {5, 1, 1}, fit, theta.data());
  theta.tail(8 * 4 + 4) *= 10;
  CHECK(teacher_labels(inputs, {5, 1, 1}, fit, theta.data()).labels == data.labels);
  const Eigen::VectorXd other = initial_parameters(shape, 8);
  CHECK(teacher_labels(inputs, {5, 1, 1}, fit, other.data()).labels != data.labels);
}
