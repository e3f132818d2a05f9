#include "slowsde/problems/matrix_sensing.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <stdexcept>

#include "slowsde/problems/derivatives.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

TEST_CASE(
    "measurements that read single entries are the factorization's outputs: pq·L_sensing = L_factorization") {
  const int p = 3, q = 2, r = 2;
  const MatrixFactorization factorization(RandomLowRank{p, q, 2, 5}, r);
  SensingData data{p * q, p, q, std::vector<double>(36, 0.0), factorization.matrix()};
  for (std::size_t k = 0; k < 6; ++k) data.measurements[6 * k + k] = 1;
  const MatrixSensing sensing(data, r);
  std::vector<double> theta(10), a(10), b(10);
  for (std::size_t j = 0; j < 10; ++j) theta[j] = 0.3 * static_cast<double>(j) - 1;
  CHECK(test::near(6 * loss(sensing, theta.data()), loss(factorization, theta.data()), 1e-14));
  gradient(sensing, theta.data(), a.data());
  gradient(factorization, theta.data(), b.data());
  for (std::size_t j = 0; j < 10; ++j) CHECK(test::near(6 * a[j], b[j], 1e-13));
  CHECK(test::near_relative(6 * sensing.trace_on_manifold(theta.data()),
                            factorization.trace_on_manifold(theta.data()), 1e-14));
}

TEST_CASE("the default start interpolates the measurements with another matrix than the one they came from") {
  const RandomSensing recipe;
  const MatrixSensing sensing;
  const std::vector<double> start = sensing.default_start();
  CHECK(loss(sensing, start.data()) <= 1e-26);
  const std::vector<double> M = recipe.matrix.generate();
  double distance = 0;
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 6; ++j) {
      double entry = -M[static_cast<std::size_t>(6 * i + j)];
      for (int l = 0; l < 3; ++l)
        entry += start[static_cast<std::size_t>(3 * i + l)] * start[static_cast<std::size_t>(18 + 3 * j + l)];
      distance += entry * entry;
    }
  CHECK(distance > 1);
}

TEST_CASE("impossible measurements are refused") {
  CHECK_THROWS_WITH_AS((RandomSensing{{3, 2, 1, 1}, 0}.generate()),
                       "matrix sensing: samples >= 1 is violated by 0", std::invalid_argument);
  CHECK_THROWS_AS((RandomSensing{{3, 2, 3, 1}, 4}.generate()), std::invalid_argument);
  SensingData data = RandomSensing{{3, 2, 1, 1}, 4}.generate();
  CHECK_THROWS_AS(MatrixSensing(data, 0), std::invalid_argument);
  data.targets.pop_back();
  CHECK_THROWS_AS(MatrixSensing(data, 1), std::invalid_argument);
  const MatrixSensing overdetermined(RandomSensing{{3, 2, 2, 1}, 6}.generate(), 1);  // n = 6 > p·r = 3
  CHECK_THROWS_AS(overdetermined.default_start(), std::invalid_argument);
}
