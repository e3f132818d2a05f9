// The sampling model against the second moment of a worker where it is known exactly: outputs linear in θ and
// more parameters than samples, so that the iterates are a linear recursion with multiplicative noise whose
// second moments close. With h_s = J_sᵀJ_s, W = E_s[h_s C h_s] − 𝓗C𝓗 and w = 1 with replacement,
// (n−B_loc)/(n−1) without, a worker's own moment C and two workers' cross moment D obey
//   C ← (I−η𝓗)C(I−η𝓗) + (η²/B_loc)(σ²𝓗 + wW(C)),   D ← (I−η𝓗)D(I−η𝓗)
// in every step, and both restart from C/K + (1−1/K)D at an average.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <cmath>

#include "slowsde/experiments/linear_fit.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/sde/dense_geometry.hpp"

using namespace slowsde;

namespace {

constexpr int d = LinearFit::dim, n = LinearFit::count;

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
