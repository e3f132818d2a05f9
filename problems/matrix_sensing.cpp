#include "slowsde/problems/matrix_sensing.hpp"

#include <Eigen/QR>
#include <cmath>
#include <utility>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t size(int i) { return static_cast<std::size_t>(i); }

}  // namespace

void RandomSensing::check() const {
  using detail::require;
  matrix.check();
  require(samples >= 1, "matrix sensing", "samples >= 1", samples);
  const double entries = static_cast<double>(samples) * matrix.rows * matrix.cols;
  require(entries < 0x1p31, "matrix sensing", "samples * rows * cols < 2^31", entries);
}

SensingData RandomSensing::generate() const {
  check();
  const std::vector<double> M = matrix.generate();
  SensingData data;
  data.samples = samples;
  data.rows = matrix.rows;
  data.cols = matrix.cols;
  data.measurements.resize(size(samples) * M.size());
  data.targets.assign(size(samples), 0.0);
  for (std::size_t k = 0; k < data.measurements.size(); ++k) {
    data.measurements[k] = normal_at(matrix.seed, Stream::initial, 0, 2, k);
    data.targets[k / M.size()] += data.measurements[k] * M[k % M.size()];
  }
  return data;
}

MatrixSensing::MatrixSensing(SensingData data, int inner) : data_(std::move(data)), r_(inner) {
  using detail::require;
  require(data_.samples >= 1, "matrix sensing", "samples >= 1", data_.samples);
  require(data_.rows >= 1, "matrix sensing", "rows >= 1", data_.rows);
  require(data_.cols >= 1, "matrix sensing", "cols >= 1", data_.cols);
  require(r_ >= 1, "matrix sensing", "inner >= 1", r_);
  require(data_.measurements.size() == size(data_.samples) * size(data_.rows) * size(data_.cols),
          "matrix sensing", "number of measurement entries = samples * rows * cols",
          data_.measurements.size());
  require(data_.measurements.size() < (std::size_t{1} << 31), "matrix sensing",
          "samples * rows * cols < 2^31", data_.measurements.size());
  require(data_.targets.size() == size(data_.samples), "matrix sensing", "number of targets = samples",
          data_.targets.size());
}

std::vector<double> MatrixSensing::default_start() const {
  const int n = data_.samples, p = data_.rows, q = data_.cols;
  std::vector<double> theta(size(dim()), 0.0);
  Eigen::Map<RowMatrix> V(theta.data() + p * r_, q, r_);
  for (Eigen::Index m = 0; m < V.size(); ++m)
    V.data()[m] = normal_at(0, Stream::initial, 0, 3, static_cast<std::uint64_t>(m)) / std::sqrt(q);
  Eigen::MatrixXd AV(n, p * r_);  // f_k = ⟨A_kV, U⟩ is linear in U
  for (int k = 0; k < n; ++k) {
    const Eigen::Map<const RowMatrix> A(data_.measurements.data() + static_cast<std::ptrdiff_t>(k) * p * q, p,
                                        q);
    const RowMatrix product = A * V;
    AV.row(k) = Eigen::Map<const Eigen::RowVectorXd>(product.data(), p * r_);
  }
  const Eigen::Map<const Eigen::VectorXd> y(data_.targets.data(), n);
  const Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd> decomposition(AV);
  Eigen::VectorXd U = decomposition.solve(y);
  U += decomposition.solve(y - AV * U);
  const double residual = (AV * U - y).cwiseAbs().maxCoeff();
  detail::require(residual <= 1e-12 * (1 + y.cwiseAbs().maxCoeff()), "matrix sensing",
                  "least residual of an interpolator = 0", residual);
  Eigen::Map<Eigen::VectorXd>(theta.data(), p * r_) = U;
  return theta;
}

}  // namespace slowsde
