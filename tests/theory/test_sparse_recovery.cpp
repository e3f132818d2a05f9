// ctest-labels: theory
// The diagonal linear network under label noise [L22, section 6]: SGD and QSR flow along Γ = {Xβ = y} to the
// interpolator of least Σ_j m_j|β_j|, m_j = mean_i x_ij², from a dense one.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <vector>

#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/sde/manifold_flow.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

/// An instance whose β* is provably the minimiser (see dual_certificate; of random ones about every third
/// is).
const SparseRegression recipe{.samples = 12, .features = 20, .sparsity = 2, .seed = 5};

struct Setting {
  DiagonalNetwork network{recipe.generate()};
  LeastSquaresModelOf<DiagonalNetwork> model{network};
  VectorXd start;
  MatrixXd X;
  VectorXd sparse, m;

  Setting() {
    const std::vector<double> raw = network.default_start();
    start = Eigen::Map<const VectorXd>(raw.data(), network.dim());
    const RegressionData& data = network.data();
    X = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
        data.inputs.data(), data.samples, data.features);
    sparse = Eigen::Map<const VectorXd>(data.coefficients.data(), data.features);
    m = X.array().square().colwise().mean();
  }

  VectorXd beta(const VectorXd& theta) const {
    const auto p = X.cols();
    return theta.head(p).array().square() - theta.tail(p).array().square();
  }
  double weighted_norm(const VectorXd& b) const { return m.dot(b.cwiseAbs()); }
};

/// Whether β is the only minimiser of Σ m_j|β_j| with the same Xβ: the columns on its support are
/// independent, and some ν has (Xᵀν)_j = m_j sign β_j there and |(Xᵀν)_j| < m_j elsewhere. Tries the ν of
/// least norm; returns the largest |(Xᵀν)_j|/m_j off the support.
double dual_certificate(const Setting& s, const VectorXd& beta) {
  std::vector<Eigen::Index> support;
  for (Eigen::Index j = 0; j < beta.size(); ++j)
    if (beta[j] != 0) support.push_back(j);
  const auto k = static_cast<Eigen::Index>(support.size());
  MatrixXd columns(s.X.rows(), k);
  VectorXd signs(k);
  for (Eigen::Index a = 0; a < k; ++a) {
    const Eigen::Index j = support[static_cast<std::size_t>(a)];
    columns.col(a) = s.X.col(j);
    signs[a] = s.m[j] * (beta[j] > 0 ? 1 : -1);
  }
  const MatrixXd gram = columns.transpose() * columns;
  CHECK(Eigen::SelfAdjointEigenSolver<MatrixXd>(gram).eigenvalues()[0] > 1);
  const VectorXd nu = columns * gram.ldlt().solve(signs);
  VectorXd dual = (s.X.transpose() * nu).cwiseQuotient(s.m).cwiseAbs();
  for (Eigen::Index a = 0; a < k; ++a) {
    const Eigen::Index j = support[static_cast<std::size_t>(a)];
    CHECK(test::near(dual[j], 1, 1e-12));
    dual[j] = 0;
  }
  return dual.maxCoeff();
}

constexpr double sigma = 0.3;

}  // namespace

TEST_CASE("the slow flows of SGD and of QSR recover the sparse interpolator, QSR in K times less slow time") {
  const Setting s;
  CHECK((s.X * s.beta(s.start) - s.X * s.sparse).cwiseAbs().maxCoeff() < 1e-11);
  const double slack = dual_certificate(s, s.sparse);
  MESSAGE("largest dual coordinate off the support: " << slack);
  REQUIRE(slack < 1);  // so β* is the only minimiser
  const double least = s.weighted_norm(s.sparse), first = s.weighted_norm(s.beta(s.start));
  CHECK(first > 1.3 * least);  // the start is far from it

  const Round round{.eta = 1e-3, .local_steps = 1, .workers = 4, .local_batch = 1};
  const std::vector<double> times = {0, 10, 30, 100, 200, 400, 800};
  std::vector<double> quarter;
  for (const double t : times) quarter.push_back(t / round.workers);
  const auto constant = [&](double) { return round; };
  const ManifoldFlowOptions options{.tolerance = 1e-6, .gram = {.rank_tolerance = 1e-12}};
  const auto sgd = manifold_flow(s.model, s.start, SgdMoment(), sigma, constant, times, options);
  const auto qsr = manifold_flow(s.model, s.start, QsrMoment(), sigma, constant, quarter, options);
  CAPTURE(sgd.reason);
  CAPTURE(qsr.reason);
  REQUIRE(sgd.converged);
  REQUIRE(qsr.converged);
  double previous = first;
  for (std::size_t k = 0; k < times.size(); ++k) {
    const VectorXd beta = s.beta(sgd.records[k].point);
    const double excess = s.weighted_norm(beta) / least - 1;
    MESSAGE("t = " << times[k] << ": sum m|beta| " << s.weighted_norm(beta) << " (least " << least
                   << "), |beta - beta*| " << (beta - s.sparse).norm() << ", rank " << sgd.records[k].rank
                   << ", lambda_min/lambda_max " << sgd.records[k].lambda_min / sgd.records[k].lambda_max);
    CHECK(excess > -1e-9);
    CHECK(test::near_relative(sgd.records[k].trace, s.network.trace_on_manifold(sgd.records[k].point.data()),
                              1e-10));
    if (k > 0) {
      CHECK(s.weighted_norm(beta) < previous);
      CHECK(sgd.records[k].trace < sgd.records[k - 1].trace);
    }
    previous = s.weighted_norm(beta);
    CHECK((qsr.records[k].point - sgd.records[k].point).norm() < 1e-3);
    // wrong: QSR with the clock of SGD
    if (k == 2) {
      const auto late =
          manifold_flow(s.model, s.start, SgdMoment(), sigma, constant, {0, quarter[k]}, options);
      CHECK((late.records[1].point - qsr.records[k].point).norm() > 0.1);
    }
  }
  const ManifoldRecord& end = sgd.records.back();
  CHECK(s.weighted_norm(s.beta(end.point)) / least - 1 < 1e-8);
  CHECK((s.beta(end.point) - s.sparse).norm() < 1e-8);
  // Where the theory's premise goes: fewer entries than samples are left, and λ_min → 0.
  CHECK(sgd.records.front().rank == 12);
  CHECK(sgd.records.front().lambda_min > 1e-2 * sgd.records.front().lambda_max);
  CHECK(sgd.records[4].lambda_min < 1e-6 * sgd.records[4].lambda_max);
  CHECK(end.rank < 12);
}
