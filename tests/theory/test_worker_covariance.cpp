// ctest-labels: theory
// The workers' covariance inside a round of Local SGD on an interpolating network: measured own and cross
// moments C_h, D_h of the displacement from Γ, and the workers' spread in parameter space, are those of the
// linearized recursion with minibatch sampling. All of them are proportional to σ² with a correction of order
// σ⁴, which two noise levels with the same random numbers measure.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/round_moments.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/worker_spread.hpp"
#include "slowsde/sde/parallel.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr int K = 4, B_loc = 1, W = native_width<double>;
constexpr std::int64_t H = 8;
constexpr double eta = 0.05;  // ηλ_max = 0.26
const std::vector<std::int64_t> at_steps = {1, H / 4, H / 2, H};
constexpr int warm_rounds = 80, rounds = 500, packs = 48;

/// What is compared at one step of the round, all divided by σ². Along the eigenvectors with the largest, the
/// middle and the least eigenvalue, and their sum over all eigenvectors, for own and cross moment; the
/// spread in parameter space, whose trace and variance along the top eigenvector need no Γ.
constexpr int directions = 3, per_step = 2 * (directions + 1) + 2;
const char* const names[per_step] = {"own top",      "own middle",   "own least",   "own trace",
                                     "cross top",    "cross middle", "cross least", "cross trace",
                                     "spread trace", "spread top"};

struct Setting {
  test::InterpolatingNetwork network{{8, 10, 3}, 6, 1};
  GramGeometry geometry{network.model};
  Eigen::MatrixXd project;  // (rank × nC): coordinates ⟨v_i, δ⟩ of a displacement from its residuals Jδ
  Eigen::VectorXd top;      // (d)
  int rank = 0;

  Setting() {
    geometry.move_to(network.theta);
    rank = geometry.rank();
    const Eigen::VectorXd lambda = geometry.eigenvalues();
    Eigen::MatrixXd J, basis(network.theta.size(), rank);
    network.model.jacobian(network.theta, J);
    for (int i = 0; i < rank; ++i) basis.col(i) = geometry.combination(Eigen::VectorXd::Unit(rank, i));
    // v_iᵀδ = v_iᵀJ^†(Jδ), J^† = Jᵀ(JJᵀ)^{-1}
    project = (J * J.transpose()).ldlt().solve(J * basis).transpose();
    top = basis.col(rank - 1);
  }
  int direction(int j) const { return j == 0 ? rank - 1 : j == 1 ? rank / 2 : 0; }
};

/// Σ over the rounds of everything that is compared, for a pack of replicas: (steps × per_step) packs. The
/// displacement from Γ is read off the residuals, so that motion along Γ does not enter.
std::vector<Pack<double>> measure(const Setting& setting, double sigma, std::uint64_t pack) {
  using T = Pack<double>;
  const MlpFit& fit = setting.network.fit;
  const int d = fit.dim(), C = fit.outputs_count(), residuals = fit.samples() * C, rank = setting.rank;
  LocalSgd algorithm;
  algorithm.workers = K;
  algorithm.local_batch = B_loc;
  algorithm.lr = LearningRate::constant(eta);
  algorithm.rule = std::make_shared<ConstantRule>(H);
  algorithm.total_steps = (warm_rounds + rounds) * H;
  GradientSource source;
  source.seed = 2027;
  source.noise = {.kind = NoiseKind::minibatch, .label_sigma = sigma, .replacement = true};
  source.local_batch = B_loc;

  std::vector<T> sums(at_steps.size() * per_step, T(0.0));
  // Coordinates and parameters of the workers at the steps of the current round: (steps × K × …)
  std::vector<T> coordinates(at_steps.size() * K * static_cast<std::size_t>(rank));
  std::vector<T> theta(at_steps.size() * K * static_cast<std::size_t>(d));
  std::vector<T> r(static_cast<std::size_t>(residuals)), y(static_cast<std::size_t>(C));
  const auto compare = [&](std::size_t j, bool check) {
    T* out = sums.data() + j * per_step;
    const T* a = coordinates.data() + j * K * static_cast<std::size_t>(rank);
    T own_trace(0.0), cross_trace(0.0);
    for (int i = 0; i < rank; ++i) {
      T sum(0.0), squares(0.0);
      for (int w = 0; w < K; ++w) {
        sum = sum + a[w * rank + i];
        squares = squares + a[w * rank + i] * a[w * rank + i];
      }
      const T own = squares * T(1.0 / K), cross = (sum * sum - squares) * T(1.0 / (K * (K - 1.0)));
      own_trace = own_trace + own;
      cross_trace = cross_trace + cross;
      for (int q = 0; q < directions; ++q)
        if (setting.direction(q) == i) {
          out[q] = out[q] + own;
          out[directions + 1 + q] = out[directions + 1 + q] + cross;
        }
    }
    out[directions] = out[directions] + own_trace;
    out[2 * directions + 1] = out[2 * directions + 1] + cross_trace;
    const T* x = theta.data() + j * K * static_cast<std::size_t>(d);
    T spread(0.0), along[K], mean_along(0.0);
    for (T& value : along) value = T(0.0);
    for (int k = 0; k < d; ++k) {
      T mean(0.0);
      for (int w = 0; w < K; ++w) mean = mean + x[w * d + k];
      mean = mean * T(1.0 / K);
      for (int w = 0; w < K; ++w) {
        const T deviation = x[w * d + k] - mean;
        spread = spread + deviation * deviation;
        along[w] = along[w] + T(setting.top[k]) * deviation;
      }
    }
    spread = spread * T(1.0 / (K - 1));
    for (int w = 0; w < K; ++w) mean_along = mean_along + along[w] * along[w];
    mean_along = mean_along * T(1.0 / (K - 1));
    out[per_step - 2] = out[per_step - 2] + spread;
    out[per_step - 1] = out[per_step - 1] + mean_along;
    if (!check) return;  // a lane's spread is what worker_spread says
    Eigen::MatrixXd lane(d, K);
    for (int l = 0; l < W; ++l) {
      std::vector<const double*> pointers;
      for (int w = 0; w < K; ++w) {
        for (int k = 0; k < d; ++k) lane(k, w) = x[w * d + k][l];
        pointers.push_back(lane.col(w).data());
      }
      CHECK(test::near_relative(worker_spread<double>(pointers, d).trace, spread[l], 1e-10));
      CHECK(test::near_relative(variance_along<double>(pointers, setting.top), mean_along[l], 1e-10));
    }
  };
  const auto observe = [&](std::int64_t k, int worker, const T* at) {
    const std::int64_t round = (k - 1) / H, h = k - round * H;
    if (round < warm_rounds) return;
    for (std::size_t j = 0; j < at_steps.size(); ++j) {
      if (at_steps[j] != h) continue;
      const std::size_t slot = j * K + static_cast<std::size_t>(worker);
      std::copy(at, at + d, theta.begin() + static_cast<std::ptrdiff_t>(slot) * d);
      for (int i = 0; i < fit.samples(); ++i) {
        T* f = r.data() + i * C;
        fit.outputs(at, i, f);
        fit.targets(i, y.data());
        for (int c = 0; c < C; ++c) f[c] = f[c] - y[static_cast<std::size_t>(c)];
      }
      for (int i = 0; i < rank; ++i) {
        T sum(0.0);
        for (int m = 0; m < residuals; ++m)
          sum = sum + T(setting.project(i, m)) * r[static_cast<std::size_t>(m)];
        coordinates[slot * static_cast<std::size_t>(rank) + static_cast<std::size_t>(i)] = sum;
      }
      if (worker == K - 1) compare(j, round == warm_rounds && pack == 0);
    }
  };
  LocalSgdPack<MlpFit, double, NoiseKind::minibatch> run(fit, algorithm, source, pack * W);
  run.run(
      setting.network.theta.data(), {{algorithm.total_steps, 0}}, [](int, const T*) {}, observe);
  for (T& sum : sums) sum = sum * T(1 / (rounds * sigma * sigma));
  return sums;
}

/// A theory's values of what is compared, (steps × per_step), from its own and cross moments at those steps.
using Theory = std::vector<double>;
Theory values(const Setting& setting, const std::vector<StepMoments>& steps, double spread_weight = 1) {
  Theory out;
  for (const StepMoments& m : steps) {
    for (const Eigen::MatrixXd* A : {&m.own, &m.cross}) {
      for (int q = 0; q < directions; ++q) out.push_back((*A)(setting.direction(q), setting.direction(q)));
      out.push_back(A->trace());
    }
    const int top = setting.direction(0);
    out.push_back(spread_weight * m.spread().trace());
    out.push_back(spread_weight * m.spread()(top, top));
  }
  return out;
}

Theory theory(const Setting& setting, const FiniteStepMoment& moment, const Round& round,
              std::vector<std::int64_t> steps, double spread_weight = 1) {
  const auto moments = round_moments(setting.geometry, moment, round, 1, steps);
  REQUIRE(moments.converged);
  return values(setting, moments.steps, spread_weight);
}

}  // namespace

TEST_CASE(
    "inside a round the workers' own and cross moments on a network are those of theory with sampling") {
  const Setting setting;
  const std::size_t cells = at_steps.size() * per_step;
  const double sigmas[2] = {0.02, 0.01};
  std::vector<std::vector<Pack<double>>> runs(2 * packs);
  parallel_for(2, runs.size(),
               [&](std::size_t job) { runs[job] = measure(setting, sigmas[job / packs], job % packs); });
  // For each cell the two levels, their difference, and σ → 0, where a correction ∝ σ² has gone.
  std::vector<Moments> noisy(cells), quiet(cells), difference(cells), limit(cells);
  for (std::size_t pack = 0; pack < packs; ++pack)
    for (std::size_t cell = 0; cell < cells; ++cell)
      for (int l = 0; l < W; ++l) {
        const double a = runs[pack][cell][l], b = runs[packs + pack][cell][l];
        noisy[cell].add(a);
        quiet[cell].add(b);
        difference[cell].add(a - b);
        limit[cell].add((4 * b - a) / 3);
      }

  const Round round{.eta = eta, .local_steps = H, .workers = K, .local_batch = B_loc};
  const Theory sampling = theory(setting, SamplingMoment(), round, at_steps);
  std::printf("  h  %-13s %-21s %-10s %-8s %-10s\n", "of", "measured, sigma -> 0", "sampling", "finite",
              "bias(0.01)");
  const Theory finite = theory(setting, FiniteStepMoment(), round, at_steps);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    CAPTURE(at_steps[cell / per_step]);
    CAPTURE(std::string(names[cell % per_step]));
    REQUIRE(limit[cell].diverged == 0);
    const double se = limit[cell].standard_error(), bias = difference[cell].mean / 3;
    std::printf("%3d  %-13s %.5f +- %.5f    %.5f    %.5f  %+.5f\n",
                static_cast<int>(at_steps[cell / per_step]), names[cell % per_step], limit[cell].mean, se,
                sampling[cell], finite[cell], bias);
    CHECK(test::zscore(limit[cell].mean, sampling[cell], se) <= 4.5);
    // Both levels as they are: what is left is the bias, a third of the difference at half the noise.
    CHECK(std::abs(quiet[cell].mean - sampling[cell]) <= 4.5 * quiet[cell].standard_error() + std::abs(bias));
    CHECK(std::abs(noisy[cell].mean - sampling[cell]) <=
          4.5 * noisy[cell].standard_error() + 4 * std::abs(bias));
    if (sampling[cell] < 0.1 * sampling[cell % per_step]) continue;  // a cross moment that has died out
    CHECK(std::abs(bias) <= 0.01 * sampling[cell]);
    CHECK(se <= 0.04 * sampling[cell]);
  }

  // Wrong theories, each at its own fixed point.
  const auto rejected = [&](const char* name, const Theory& wrong) {
    double z = 0;
    std::size_t where = 0;
    for (std::size_t cell = 0; cell < cells; ++cell) {
      REQUIRE(std::isfinite(wrong[cell]));
      const double here = test::zscore(limit[cell].mean, wrong[cell], limit[cell].standard_error());
      if (here > z) {
        z = here;
        where = cell;
      }
    }
    std::printf("%-28s rejected at %.0f SE (h = %d, %s)\n", name, z,
                static_cast<int>(at_steps[where / per_step]), names[where % per_step]);
    CAPTURE(name);
    CHECK(z >= 5);
  };
  rejected("without sampling", finite);
  Round other = round;
  other.workers = K + 1;
  rejected("K for K - 1", theory(setting, SamplingMoment(), other, at_steps));
  rejected("1/K in the spread", theory(setting, SamplingMoment(), round, at_steps, 1 - 1.0 / K));
  for (const std::int64_t more : {-1, 1}) {
    other = round;
    other.local_steps = H + more;
    std::vector<std::int64_t> steps = at_steps;
    steps.back() = std::min(H, H + more);
    rejected(more > 0 ? "a round of H + 1" : "a round of H - 1",
             theory(setting, SamplingMoment(), other, steps));
  }
  rejected("one step early in the round",
           theory(setting, SamplingMoment(), round, {0, H / 4 - 1, H / 2 - 1, H - 1}));
  other = round;
  other.local_batch = K * B_loc;
  rejected("B for B_loc", theory(setting, SamplingMoment(), other, at_steps));
  other = round;
  other.workers = 1;  // every worker by itself: nothing restarts, nothing is shared
  auto alone = round_moments(setting.geometry, SamplingMoment(), other, 1, at_steps);
  REQUIRE(alone.converged);
  for (StepMoments& m : alone.steps) m.cross.setZero();
  rejected("no restart at an average", values(setting, alone.steps));
  // The cross moment forgotten at the restart: C_H/K alone.
  auto forgetful = round_moments(setting.geometry, SamplingMoment(), round, 1, {0});
  REQUIRE(forgetful.converged);
  Eigen::MatrixXd start = forgetful.steps[0].own;
  const Eigen::VectorXd lambda = setting.geometry.eigenvalues();
  const Eigen::VectorXd factor = 1 - eta * lambda.array();
  std::vector<StepMoments> steps;
  for (int iteration = 0; iteration < 200; ++iteration) {
    Eigen::MatrixXd own = start, cross = start;
    steps.clear();
    for (std::int64_t h = 1; h <= H; ++h) {
      own = (factor.asDiagonal() * own * factor.asDiagonal() +
             eta * eta / B_loc *
                 (Eigen::MatrixXd(lambda.asDiagonal()) + setting.geometry.sampling_covariance(own)))
                .eval();
      cross = (factor.asDiagonal() * cross * factor.asDiagonal()).eval();
      if (std::find(at_steps.begin(), at_steps.end(), h) != at_steps.end()) steps.push_back({h, own, cross});
    }
    start = own / K;
  }
  rejected("the cross moment forgotten", values(setting, steps));
}
