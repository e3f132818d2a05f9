// ctest-labels: theory
// Matrix factorization and matrix sensing under label noise: the slow flow ends at the balanced
// factorization, and without label noise an interpolator is a fixed point of the iterates.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>
#include <memory>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/least_squares_adaptor.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "slowsde/sde/manifold_flow.hpp"
#include "slowsde/sde/residual_flow.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

constexpr int width = native_width<double>;

/// Where `replicas` runs of Local SGD from θ are after each of the numbers of steps: (steps) × (replicas).
template <NoiseKind Kind, class P>
std::vector<std::vector<VectorXd>> run(const P& problem, const VectorXd& theta, const Round& round,
                                       const std::vector<std::int64_t>& steps, double sigma,
                                       std::uint64_t seed, int replicas) {
  LocalSgd algorithm;
  algorithm.workers = round.workers;
  algorithm.local_batch = round.local_batch;
  algorithm.lr = LearningRate::constant(round.eta);
  algorithm.rule = std::make_shared<ConstantRule>(round.local_steps);
  algorithm.total_steps = steps.back();
  GradientSource source;
  source.seed = seed;
  source.noise = {.kind = Kind, .label_sigma = sigma};
  source.local_batch = round.local_batch;
  std::vector<RecordPoint> points;
  for (const std::int64_t k : steps) points.push_back({k, 0});
  std::vector<std::vector<VectorXd>> states(steps.size());
  for (int first = 0; first < replicas; first += width) {
    LocalSgdPack<P, double, Kind> pack(problem, algorithm, source, static_cast<std::uint64_t>(first));
    pack.run(theta.data(), points, [&](int point, const Pack<double>* x) {
      for (int l = 0; l < width; ++l) {
        VectorXd end(theta.size());
        for (int j = 0; j < end.size(); ++j) end[j] = x[j][l];
        states[static_cast<std::size_t>(point)].push_back(end);
      }
    });
  }
  return states;
}

VectorXd start_of(const std::vector<double>& raw) {
  return Eigen::Map<const VectorXd>(raw.data(), static_cast<Eigen::Index>(raw.size()));
}

}  // namespace

TEST_CASE("the slow flow of matrix factorization ends balanced, at the least trace 2√(pq)|M|_*") {
  for (const RandomLowRank& recipe : {RandomLowRank{5, 3, 3, 1}, RandomLowRank{3, 4, 3, 2}}) {
    const MatrixFactorization problem(recipe, 3);
    const LeastSquaresModelOf<MatrixFactorization> model(problem);
    const int p = problem.rows(), q = problem.cols(), r = problem.inner();
    const Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> M(
        problem.matrix().data(), p, q);
    const double nuclear = Eigen::JacobiSVD<MatrixXd>(M).singularValues().sum();
    const double least = 2 * std::sqrt(static_cast<double>(p) * q) * nuclear;
    CHECK(test::near_relative(problem.least_trace(), least, 1e-12));
    // The problem's own start moves along one-parameter rescalings only; a turned and sheared one does not.
    VectorXd start = start_of(problem.default_start());
    MatrixXd shear = MatrixXd::Identity(r, r);
    shear(0, 1) = 0.7;
    shear(2, 0) = -0.4;
    Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> U0(start.data(), p, r),
        V0(start.data() + p * r, q, r);
    U0 = (U0 * shear).eval();
    V0 = (V0 * shear.inverse().transpose()).eval();

    const Round round{.eta = 1e-3, .local_steps = 1000, .workers = 4, .local_batch = 1};
    const auto imbalance = [&](const VectorXd& theta) {
      const Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> U(
          theta.data(), p, r),
          V(theta.data() + p * r, q, r);
      return (q * U.transpose() * U - p * V.transpose() * V).norm();
    };
    CHECK(imbalance(start) > 5);
    for (const bool qsr : {false, true}) {
      const SgdMoment sgd;
      const QsrMoment local;
      const SecondMoment& moment = qsr ? static_cast<const SecondMoment&>(local) : sgd;
      const double K = qsr ? round.workers : 1;
      const auto flow = manifold_flow(model, start, moment, 1, [&](double) { return round; },
                                      {0, 1 / K, 4 / K, 16 / K, 64 / K}, {.tolerance = 1e-7});
      CAPTURE(flow.reason);
      REQUIRE(flow.converged);
      for (std::size_t k = 1; k < flow.records.size(); ++k) {
        CHECK(flow.records[k].trace >= least * (1 - 1e-9));
        CHECK(flow.records[k].trace <= flow.records[k - 1].trace * (1 + 1e-9));
      }
      const ManifoldRecord& end = flow.records.back();
      MESSAGE("tr " << flow.records.front().trace << " -> " << end.trace << ", least " << least
                    << "; imbalance " << imbalance(start) << " -> " << imbalance(end.point));
      CHECK(test::near_relative(end.trace, least, 1e-6));
      CHECK(imbalance(end.point) < 1e-4);
      // wrong: balanced without the dimensions, UᵀU = VᵀV
      const Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> U(
          end.point.data(), p, r),
          V(end.point.data() + p * r, q, r);
      CHECK((U.transpose() * U - V.transpose() * V).norm() > 0.1);
    }
  }
}

TEST_CASE("without label noise an interpolator of a nonlinear model stays where it is; with it, it moves") {
  const test::InterpolatingNetwork net({3, 4, 2}, 4, 610);
  const Round round{.eta = 0.02, .local_steps = 10, .workers = 2, .local_batch = 1};
  const auto distances = [&](const auto& problem, const VectorXd& start, double sigma) {
    Moments distance;
    const auto states = run<NoiseKind::minibatch>(problem, start, round, {5000}, sigma, 41, 32);
    for (const VectorXd& end : states[0]) distance.add((end - start).norm());
    CHECK(distance.diverged == 0);
    return distance;
  };
  const MatrixSensing sensing(RandomSensing{{4, 4, 1, 1}, 6}.generate(), 2);
  // an interpolator of the sensing problem to the last bit of its arithmetic: residual < 1e-14
  const LeastSquaresModelOf<MatrixSensing> model(sensing);
  const VectorXd sensing_start =
      retract(model, start_of(sensing.default_start()), {.residual_tolerance = 1e-13}).point;
  // minibatches of both are drawn, so gradients of single samples vanish, not only their mean
  CHECK(distances(net.fit, net.theta, 0).mean < 1e-12);
  CHECK(distances(sensing, sensing_start, 0).mean < 1e-11);
  for (const Moments& moved :
       {distances(net.fit, net.theta, 0.05), distances(sensing, sensing_start, 0.05)}) {
    CHECK(moved.mean / moved.standard_error() >= 5);
    CHECK(moved.mean > 1e-3);
  }
  // And the slow drift is zero where Σ is, at a point where label noise has one: the theory's half of it.
  GramGeometry geometry(net.model);
  geometry.move_to(net.theta);
  CHECK(geometry.slow_drift(SamplingMoment(), round, 0).value.norm() == 0);
  CHECK(geometry.slow_drift(SamplingMoment(), round, 0.05).value.norm() > 1e-6);
  // Off Γ minibatches do move it, label noise or not: the fixed point is Γ, not a frozen simulator.
  const VectorXd off = net.theta + 0.05 * test::normal_vector(net.model.dim(), 8);
  CHECK(distances(net.fit, off, 0).mean > 1e-3);
}
