// Claims about flipped labels: at the minimum of the cross-entropy over flips a visit's gradient has the
// covariance ∇²L, so that the label-noise theory holds with σ² = 1.
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include <boost/math/distributions/normal.hpp>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/label_flip.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"

namespace slowsde {
namespace {

constexpr int classes = 4;
constexpr double flips = 0.3;

double probability(int label) { return label == 0 ? 1 - flips : flips / (classes - 1); }

/// Logits f_c = ln q_c + e_c·z(θ), with the valley's z = √(1+x²)·y and q the distribution of the labels. The
/// cross-entropy is least where z = 0, and its Hessian there is Var_q(e)·∇z∇zᵀ. As least squares only z is
/// offered, whose Φ is that of any loss in z; the reverse pass is that of the cross-entropy at a label drawn
/// by the visit's normal number.
class FlippedValley {
 public:
  static constexpr int dim = 2, outputs_count = 1;
  static constexpr std::array<double, classes> e{1, -1, 2, 0};

  FlippedValley() {
    double below = 0;
    for (int c = 0; c + 1 < classes; ++c) {
      below += probability(c);
      threshold_[static_cast<std::size_t>(c)] = boost::math::quantile(boost::math::normal(), below);
    }
  }
  int samples() const { return 1; }
  template <class T, class I>
  void outputs(const T* theta, const I& i, T* z) const {
    valley_.outputs(theta, i, z);
  }
  template <class I, class T>
  void targets(const I& i, T* y) const {
    valley_.targets(i, y);
  }
  template <class T, class I>
  void add_sample_gradient(const T* theta, const I& i, const T* normal, T* g, T* scratch) const {
    using std::exp;
    T z, sum(0.0), weighted(0.0), of_label(mean());
    valley_.outputs(theta, i, &z);
    for (std::size_t c = 0; c < classes; ++c) {
      const T weight = probability(static_cast<int>(c)) * exp(e[c] * z);
      sum = sum + weight;
      weighted = weighted + e[c] * weight;
      // Jets differentiate the mean over labels; only packs visit.
      if constexpr (std::is_same_v<T, Pack<double>>)
        of_label = c == 0 ? T(e[0]) : select(normal[0] > T(threshold_[c - 1]), T(e[c]), of_label);
    }
    // The valley's reverse pass multiplies ∇z by z − ε: here by Σ_c e_cπ_c − e_label.
    const T replaced = z - (weighted / sum - of_label);
    valley_.add_sample_gradient(theta, i, &replaced, g, scratch);
  }
  int scratch_size() const { return 0; }
  template <class T>
  void phi(const T* theta, T* out) const {
    valley_.phi(theta, out);
  }

  static double mean() {
    double sum = 0;
    for (int c = 0; c < classes; ++c) sum += probability(c) * e[static_cast<std::size_t>(c)];
    return sum;
  }
  /// Var_q(e), the Hessian in z.
  static double curvature() {
    double sum = 0;
    for (int c = 0; c < classes; ++c)
      sum += probability(c) * std::pow(e[static_cast<std::size_t>(c)] - mean(), 2);
    return sum;
  }

 private:
  Valley valley_;
  std::array<double, classes - 1> threshold_{};
};

constexpr int K = 4;
constexpr double x0 = 1.5, t = 3.584, eta_H = 0.8;

template <class Steps>
Measured limit(ClaimRun& run, Steps steps, std::size_t quick) {
  const auto at = [&](double eta) {
    const Round round{.eta = eta, .local_steps = steps(eta), .workers = K};
    return mean_at_end<NoiseKind::minibatch>(
        FlippedValley(), local_sgd(round, t), {x0, 0}, t,
        {.replicas = run.replicas(quick), .seed = run.next_seed(), .threads = run.threads()},
        [](const double* zeta) { return zeta[0]; });
  };
  const double largest = run.full() ? 0.08 : 0.16;
  const Measured first = at(largest), second = at(largest / 2);
  return extrapolate(first, second, at(largest / 4));
}

/// The label-noise ODE with eigenvalue q(1+x²) and noise σ²𝓗.
Measured ode(const SecondMoment& moment, const Round& round, double q, double sigma2) {
  const std::vector<CurvatureAlong> curvature{[q](double x) {
    return Curvature{q * (1 + x * x), 2 * q * x};
  }};
  return Measured::exact(valley_ode(curvature, moment, std::sqrt(sigma2), round, x0, t));
}

/// Variance of a visit's ∂/∂z at the minimum, with the flips that trainers draw.
Measured visit_variance(ClaimRun& run) {
  const LabelFlip flip{.probability = flips};
  const std::uint64_t seed = run.next_seed(), visits = run.replicas(40000);
  Moments squares;
  for (std::uint64_t visit = 0; visit < visits; ++visit) {
    const int label = flip.draw(0, classes, seed, 0, 0, visit);
    squares.add(std::pow(FlippedValley::mean() - FlippedValley::e[static_cast<std::size_t>(label)], 2));
  }
  return Measured::of(squares);
}

std::vector<Comparison> flipped_labels(ClaimRun& run) {
  const double q = FlippedValley::curvature();
  const Round round{.eta = 0.04, .local_steps = 20, .workers = K};
  const Measured visits = visit_variance(run);
  const Measured sgd = limit(
      run, [](double) { return std::int64_t{1}; }, 3200);
  const Measured local = limit(
      run, [](double eta) { return std::llround(eta_H / eta); }, 3200);
  const Measured of_sgd = ode(SgdMoment(), round, q, 1), of_psi = ode(PsiMoment(), round, q, 1);
  // One label in C of those drawn uniformly from all classes is the right one.
  const double all = (classes - 1.0) / classes;
  return {{.quantity = "variance of a visit's ∂/∂z of the cross-entropy at its minimum, C = 4, p = 0.3",
           .prediction = "∂²L/∂z²",
           .measured = visits,
           .predicted = Measured::exact(q),
           .effect = q,
           .least_n = 40000,
           .rivals = {{"flips to any of the C classes", Measured::exact(all * q)},
                      {"p(1−p), as if the classes were two", Measured::exact(flips * (1 - flips))}}},
          {.quantity = "E x of SGD on flipped labels at t = 3.584, C = 4, p = 0.3, B = 4, η → 0",
           .prediction = "x0 exp(−qt/2B): label noise with σ² = 1, 𝓗 = q(1+x²)",
           .measured = sgd,
           .predicted = of_sgd,
           .effect = std::abs(x0 - of_sgd.mean),
           .least_n = 3200,
           .rivals = {{"flips to any of the C classes", ode(SgdMoment(), round, q, all)},
                      {"σ² = p", ode(SgdMoment(), round, q, flips)},
                      {"the curvature of the squared loss", ode(SgdMoment(), round, 1, 1)},
                      {"ψ ≡ 1", ode(QsrMoment(), round, q, 1)}}},
          {.quantity = "E x of Local SGD on flipped labels at t = 3.584, K = 4, ηH = 0.8, η → 0",
           .prediction = "ODE with 1 + (K−1)ψ(2ηHλ), σ² = 1",
           .measured = local,
           .predicted = of_psi,
           .effect = std::abs(of_sgd.mean - of_psi.mean),
           .least_n = 3200,
           .rivals = {{"ψ ≡ 0", of_sgd},
                      {"ψ ≡ 1", ode(QsrMoment(), round, q, 1)},
                      {"ψ(ηHλ) for ψ(2ηHλ)", ode(wrong_psi(0, 0.5), round, q, 1)},
                      {"K for K − 1", ode(wrong_psi(1, 1), round, q, 1)},
                      {"σ² = p", ode(PsiMoment(), round, q, flips)}}}};
}

}  // namespace

void add_label_claims(Registry& registry) {
  registry.add_claim("flipped-labels",
                     {.statement = "with flipped labels the gradients' covariance at the minimum is ∇²L, and "
                                   "the label-noise theory holds with σ² = 1",
                      .source = "Gu et al. 2023, Section 3 and Theorem 3.3",
                      .comparisons = 3,
                      .measure = flipped_labels});
}

}  // namespace slowsde
