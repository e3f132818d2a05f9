// ctest-labels: theory
// The second moment of a worker under minibatch noise, where it is known exactly: outputs linear in θ and
// more parameters than samples, so that the iterates are a linear recursion with multiplicative noise whose
// second moments close. With h_s = J_sᵀJ_s, W = E_s[h_s C h_s] − 𝓗C𝓗 and w = 1 with replacement,
// (n−B_loc)/(n−1) without, a worker's own moment C and two workers' cross moment D obey
//   C ← (I−η𝓗)C(I−η𝓗) + (η²/B_loc)(σ²𝓗 + wW(C)),   D ← (I−η𝓗)D(I−η𝓗)
// in every step, and both restart from C/K + (1−1/K)D at an average.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/local_sgd.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/sde/dense_geometry.hpp"
#include "slowsde/sde/statistics.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr int d = 6, n = 4;

/// f_i = ⟨x_i, θ⟩ with targets 0: Γ is the null space of the 4 × 6 matrix of the x_i.
struct LinearFit {
  static constexpr int dim = d, outputs_count = 1;
  static constexpr double x[n * d] = {1.0, 0.3, -0.5, 0.8,  0.1, -0.4, 0.2,  -1.1, 0.6, 0.4, -0.7, 0.5,
                                      0.9, 0.7, 0.2,  -0.6, 0.3, 0.8,  -0.3, 0.5,  1.2, 0.2, 0.9,  -0.2};
  int samples() const { return n; }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* f) const {
    f[0] = lookup_row<T>(i, 0) * theta[0];
    for (int j = 1; j < d; ++j) f[0] = f[0] + lookup_row<T>(i, j) * theta[j];
  }
  template <class I, class T>
  void targets(const I&, T* y) const {
    y[0] = T(0.0);
  }
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* eps, T* g, T*) const {
    T r;
    outputs(theta, i, &r);
    r = r - eps[0];
    for (int j = 0; j < d; ++j) g[j] = g[j] + r * lookup_row<T>(i, j);
  }
  int scratch_size() const { return 0; }

 private:
  template <class T, class I>
  static T lookup_row(const I& i, int j) {
    return lookup<T>(x + j, i * I(d));
  }
};

using Matrix = Eigen::Matrix<double, d, d>;

struct Case {
  Round round;
  bool replacement;
  double sigma = 1;
};

double weight(const Case& c) { return SamplingMoment(c.replacement).sampling_weight(c.round, n); }

Matrix sample_hessian(int s) {
  const Eigen::Map<const Eigen::Matrix<double, d, 1>> x(LinearFit::x + s * d);
  return x * x.transpose();
}

/// Mean over the round of the exact recursion's C_h, divided by η, at its fixed point. `feedback` multiplies
/// w: 0 leaves the part of the noise that is linear in the displacement out.
Matrix exact_moment(const Case& c, double feedback = 1) {
  Matrix H = Matrix::Zero();
  for (int s = 0; s < n; ++s) H += sample_hessian(s) / n;
  const double eta = c.round.eta, w = feedback * weight(c), K = c.round.workers;
  const Matrix T = Matrix::Identity() - eta * H;
  Matrix start = Matrix::Zero(), mean;
  for (double change = 1; change > 1e-14;) {
    Matrix C = start, D = start;
    mean.setZero();
    for (std::int64_t h = 0; h < c.round.local_steps; ++h) {
      mean += C / static_cast<double>(c.round.local_steps);
      Matrix noise = c.sigma * c.sigma * H - w * H * C * H;
      for (int s = 0; s < n; ++s) noise += w / n * sample_hessian(s) * C * sample_hessian(s);
      C = (T * C * T + eta * eta / c.round.local_batch * noise).eval();
      D = (T * D * T).eval();
    }
    const Matrix next = C / K + (1 - 1 / K) * D;
    change = (next - start).norm() / next.norm();
    start = next;
  }
  return mean / eta;
}

/// The same as a second-moment model says it.
Matrix model_moment(const SecondMoment& moment, const Case& c) {
  const DenseGeometry<LinearFit> geometry({}, {.tangent_threshold = 1e-9, .label_noise = c.sigma});
  const auto p = geometry.frame(DenseGeometry<LinearFit>::Vector::Zero());
  const auto A = geometry.second_moment(p, moment, c.round);
  CHECK(A.converged);
  return geometry.matrix(p, A);
}

/// Unlike components of the displacement, as quadratic forms q(C) = tr(Q C): the trace, the mean loss, and
/// two residuals' product.
std::array<Matrix, 3> forms() {
  const Eigen::Map<const Eigen::Matrix<double, d, 1>> x0(LinearFit::x), x2(LinearFit::x + 2 * d);
  Matrix loss = Matrix::Zero();
  for (int s = 0; s < n; ++s) loss += 0.5 / n * sample_hessian(s);
  const Matrix product = 0.5 * (x0 * x2.transpose() + x2 * x0.transpose());
  return {Matrix::Identity(), loss, product};
}

double value(const Matrix& Q, const Matrix& A) { return Q.cwiseProduct(A).sum(); }

/// Measured mean over a round of q(θ_w)/η. The workers' own paths are not on record, only their averages; so
/// Local SGD is run here from the same sampled gradients, and its averages are held against LocalSgdPack.
std::array<Moments, 3> measure(const Case& c, int replicas, int warm_rounds, int rounds) {
  using T = Pack<double>;
  using Sampler = GradientSampler<LinearFit, double, 1, NoiseKind::minibatch>;
  constexpr int W = native_width<double>;
  const LinearFit problem;
  const auto Q = forms();
  const int K = c.round.workers;
  const std::int64_t H = c.round.local_steps;
  GradientSource source;
  source.seed = 71;
  source.noise = {.kind = NoiseKind::minibatch, .label_sigma = c.sigma, .replacement = c.replacement};
  source.local_batch = c.round.local_batch;
  LocalSgd algorithm;
  algorithm.workers = K;
  algorithm.local_batch = c.round.local_batch;
  algorithm.lr = LearningRate::constant(c.round.eta);
  algorithm.rule = std::make_shared<ConstantRule>(H);
  algorithm.total_steps = (warm_rounds + rounds) * H;

  std::array<Moments, 3> result;
  for (int first = 0; first < replicas; first += W) {
    std::vector<Sampler> workers;
    for (int w = 0; w < K; ++w)
      workers.emplace_back(problem, source, static_cast<std::uint64_t>(first), static_cast<std::uint32_t>(w));
    T x[d], y[d], g[d], sum[d], total[3] = {T(0.0), T(0.0), T(0.0)};
    for (T& xj : x) xj = T(0.0);
    for (int r = 0; r < warm_rounds + rounds; ++r) {
      for (T& s : sum) s = T(0.0);
      for (int w = 0; w < K; ++w) {
        for (int j = 0; j < d; ++j) y[j] = x[j];
        for (std::int64_t h = 0; h < H; ++h) {
          if (r >= warm_rounds)
            for (std::size_t q = 0; q < 3; ++q)
              for (int i = 0; i < d; ++i)
                for (int j = 0; j < d; ++j) total[q] = total[q] + T(Q[q](i, j)) * (y[i] * y[j]);
          const T* const at[1] = {y};
          T* const out[1] = {g};
          workers[static_cast<std::size_t>(w)].draw(at, static_cast<std::uint64_t>(r * H + h), out, nullptr);
          for (int j = 0; j < d; ++j) y[j] = y[j] - T(c.round.eta) * g[j];
        }
        for (int j = 0; j < d; ++j) sum[j] = sum[j] + y[j];
      }
      for (int j = 0; j < d; ++j) x[j] = sum[j] * T(1.0 / K);
    }
    const double visits = static_cast<double>(rounds) * K * static_cast<double>(H) * c.round.eta;
    for (std::size_t q = 0; q < 3; ++q)
      for (int l = 0; l < W; ++l) result[q].add(total[q][l] / visits);

    if (first == 0) {
      const std::vector<double> start(d, 0.0);
      LocalSgdPack<LinearFit, double, NoiseKind::minibatch> pack(problem, algorithm, source, 0);
      pack.run(start.data(), {{algorithm.total_steps, 0}}, [&](int, const T* end) {
        for (int j = 0; j < d; ++j)
          for (int l = 0; l < W; ++l) CHECK(test::near(end[j][l], x[j][l], 1e-12));
      });
    }
  }
  return result;
}

constexpr double eta = 0.25;  // ηλ_max = 0.35: what sampling adds is a third of the moment

}  // namespace

TEST_CASE("the sampling model is the exact second moment of SGD's recursion, at every η and K") {
  for (const bool replacement : {true, false})
    for (const int batch : {1, 2, 3})
      for (const int K : {1, 3})
        for (const double rate : {0.02, 0.1, eta}) {
          const Case c{{.eta = rate, .local_steps = 1, .workers = K, .local_batch = batch}, replacement};
          const Matrix exact = exact_moment(c);
          const Matrix model = model_moment(SamplingMoment(replacement), c);
          CHECK((model - exact).norm() <= 1e-9 * exact.norm());
          CHECK((model_moment(FiniteStepMoment(), c) - exact_moment(c, 0)).norm() <= 1e-9 * exact.norm());
        }
}

TEST_CASE("within a round of H > 1 the model closes the feedback by its mean: what that costs") {
  // The model feeds the noise of step h with the round's mean Ā; the recursion feeds it with C_h. For H = 1,
  // for K = 1 and as η → 0 at fixed ηH they are the same.
  for (const bool replacement : {true, false}) {
    for (const std::int64_t H : {5, 20}) {
      double previous = 0, distance = 1;
      for (const double rate : {eta, eta / 2, eta / 4, eta / 8}) {
        const auto steps = static_cast<std::int64_t>(static_cast<double>(H) * eta / rate);
        const Case c{{.eta = rate, .local_steps = steps, .workers = 3, .local_batch = 1}, replacement};
        const Matrix exact = exact_moment(c), plain = exact_moment(c, 0);
        const double closure = (model_moment(SamplingMoment(replacement), c) - exact).norm() / exact.norm();
        const double feedback = (plain - exact).norm() / exact.norm();
        MESSAGE("H = " << steps << ", eta = " << rate << ": feedback " << feedback << ", closure "
                       << closure);
        CHECK(closure < 0.2 * feedback);
        if (previous > 0) {
          const double order = std::log2(previous / closure);
          CHECK(std::abs(order - 1) < distance);
          distance = std::abs(order - 1);
        }
        previous = closure;
      }
      CHECK(distance <= 0.2);  // of first order in η at fixed ηH, like the feedback itself
    }
    const Case alone{{.eta = eta, .local_steps = 5, .workers = 1, .local_batch = 1}, replacement};
    const Matrix exact = exact_moment(alone);
    CHECK((model_moment(SamplingMoment(replacement), alone) - exact).norm() <= 1e-9 * exact.norm());
  }
}

TEST_CASE("a worker's measured moment is the sampling model's, not that of the finite step alone") {
  for (const bool replacement : {true, false})
    for (const std::int64_t H : {1, 5}) {
      CAPTURE(replacement);
      CAPTURE(H);
      const Case c{{.eta = eta, .local_steps = H, .workers = 3, .local_batch = replacement ? 1 : 2},
                   replacement};
      // the slowest normal direction forgets its start within 1/(ηλ_min) steps
      const auto measured = measure(c, 1600, static_cast<int>(400 / H), static_cast<int>(2000 / H));
      const Matrix exact = exact_moment(c), model = model_moment(SamplingMoment(replacement), c);
      const auto Q = forms();
      double closure_z = 0, finite_z = 0, psi_z = 0, other_z = 0, batch_z = 0;
      for (std::size_t q = 0; q < 3; ++q) {
        const double mean = measured[q].mean, se = measured[q].standard_error();
        CAPTURE(q);
        CHECK(measured[q].diverged == 0);
        CHECK(test::zscore(mean, value(Q[q], exact), se) <= 4.5);
        // the closure's error at H > 1 is known exactly; beyond it nothing is allowed
        const double closure = std::abs(value(Q[q], model) - value(Q[q], exact));
        CHECK(std::abs(mean - value(Q[q], model)) <= 4.5 * se + closure);
        if (H == 1) CHECK(closure <= 1e-9 * std::abs(value(Q[q], exact)));
        const auto z = [&](const Matrix& A) { return test::zscore(mean, value(Q[q], A), se); };
        closure_z = std::max(closure_z, z(model));
        finite_z = std::max(finite_z, z(model_moment(FiniteStepMoment(), c)));
        psi_z = std::max(psi_z, z(model_moment(PsiMoment(), c)));
        other_z = std::max(other_z, z(model_moment(SamplingMoment(!replacement), c)));
        batch_z = std::max(batch_z, z(model / c.round.workers));
        MESSAGE("replacement " << replacement << ", H = " << H << ", form " << q << ": measured " << mean
                               << " +- " << se << ", recursion " << value(Q[q], exact) << ", sampling "
                               << value(Q[q], model) << ", finite step "
                               << value(Q[q], model_moment(FiniteStepMoment(), c)));
      }
      // the measurement is fine enough to see what the closure costs
      if (H > 1 && replacement) CHECK(closure_z >= 5);
      CHECK(finite_z >= 5);
      CHECK(psi_z >= 5);
      CHECK(batch_z >= 5);                               // B for B_loc
      if (c.round.local_batch > 1) CHECK(other_z >= 5);  // w = 1 for (n − B_loc)/(n − 1)
    }
}
