// Claims about flipped labels: at the minimum of the cross-entropy over flips a visit's gradient has the
// covariance ∇²L, so that the label-noise theory holds with σ² = 1.
#include <Eigen/Core>
#include <array>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/wrong_moments.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"
#include "slowsde/problems/batch.hpp"
#include "slowsde/problems/dataset.hpp"
#include "slowsde/problems/label_flip.hpp"
#include "slowsde/problems/network.hpp"
#include "slowsde/problems/network_gradient.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/closed_forms.hpp"
#include "slowsde/sde/residual_flow.hpp"

namespace slowsde {
namespace {

using Eigen::VectorXd;

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

/// A softmax network at the least cross-entropy over flips: three samples, π_i = q_i for each of them, and
/// more parameters than logits. With logits ln q_i as the targets of a squared loss it is a point of that
/// loss's Γ.
class SoftLabelMinimum {
 public:
  SoftLabelMinimum() {
    Dataset logits{.n = samples, .inputs = inputs, .outputs = classes, .x = x_, .y = {}};
    for (const int label : labels_)
      for (int c = 0; c < classes; ++c) logits.y.push_back(std::log(c == label ? 1 - flips : other));
    const FlowResult found =
        train_to_manifold(NetworkModel(network_, logits), network_.initial_parameters(1, 2.0));
    theta_ = found.point;
    if (!found.converged) theta_.setConstant(std::numeric_limits<double>::quiet_NaN());

    NetworkGradient<double> gradient(network_, LossKind::cross_entropy, 1);
    constexpr int stride = batch_stride<double>(1);
    alignas(64) std::array<double, inputs * stride> x{};
    for (int i = 0; i < samples; ++i)
      for (int c = 0; c < classes; ++c) {
        for (int j = 0; j < inputs; ++j)
          x[static_cast<std::size_t>(j * stride)] = x_[static_cast<std::size_t>(i * inputs + j)];
        VectorXd& g = gradients_.emplace_back(theta_.size());
        gradient.value_and_gradient(theta_.data(), {.size = 1, .stride = stride, .x = x.data(), .labels = &c},
                                    g.data());
      }
  }

  const VectorXd& theta() const { return theta_; }
  int label(int sample) const { return labels_[static_cast<std::size_t>(sample)]; }
  /// Of one sample's cross-entropy at a label.
  const VectorXd& gradient(int sample, int label) const {
    return gradients_[static_cast<std::size_t>(sample * classes + label)];
  }
  ClassificationModel model() const { return {network_, x_, labels_, 0, flips}; }

  static constexpr int samples = 3, inputs = 3;

 private:
  static constexpr double other = flips / (classes - 1);
  const Network network_ = mlp_network({inputs, 5, classes});
  const std::vector<double> x_{0.9, -0.4, 0.3, -0.2, 1.1, 0.6, 0.5, 0.2, -1.2};
  const std::vector<int> labels_{0, 2, 3};
  VectorXd theta_;
  std::vector<VectorXd> gradients_;
};

/// tr Σ and vᵀΣv of the visits' gradients, and what a theory says of them.
struct VisitCovariance {
  Measured trace, along;
};

std::vector<Comparison> covariance_in_network(ClaimRun& run) {
  const SoftLabelMinimum minimum;
  const ClassificationModel model = minimum.model();
  const Eigen::Index d = minimum.theta().size();
  const VectorXd v = VectorXd::LinSpaced(d, -1, 1).normalized();
  const auto squares = [&](const VectorXd& g) { return std::array{g.squaredNorm(), std::pow(v.dot(g), 2)}; };

  Moments trace, along;
  const LabelFlip flip{.probability = flips};
  const std::uint64_t seed = run.next_seed(), visits = run.replicas(120000);
  for (std::uint64_t visit = 0; visit < visits; ++visit) {
    const int sample = static_cast<int>(visit % SoftLabelMinimum::samples);
    const auto [all, one] =
        squares(minimum.gradient(sample, flip.draw(minimum.label(sample), classes, seed, 0, 0, visit)));
    trace.add(all);
    along.add(one);
  }

  VectorXd column(d);
  double hessian_trace = 0;
  for (Eigen::Index j = 0; j < d; ++j) {
    model.hessian_vector_product(minimum.theta(), VectorXd::Unit(d, j), column);
    hessian_trace += column[j];
  }
  model.hessian_vector_product(minimum.theta(), v, column);
  const VisitCovariance hessian{Measured::exact(hessian_trace), Measured::exact(v.dot(column))};
  /// E over labels that are wrong with probability p, each class of them alike.
  const auto with_flips = [&](double p) {
    VisitCovariance mean{Measured::exact(0), Measured::exact(0)};
    for (int i = 0; i < SoftLabelMinimum::samples; ++i)
      for (int c = 0; c < classes; ++c) {
        const double weight = (c == minimum.label(i) ? 1 - p : p / (classes - 1)) / SoftLabelMinimum::samples;
        const auto [all, one] = squares(minimum.gradient(i, c));
        mean.trace.mean += weight * all;
        mean.along.mean += weight * one;
      }
    return mean;
  };
  const VisitCovariance any_class = with_flips(flips * (classes - 1) / classes), none = with_flips(0);
  const auto comparison = [&](std::string quantity, const Moments& measured,
                              Measured VisitCovariance::*part) {
    const Measured right = hessian.*part;
    return Comparison{.quantity = std::move(quantity) +
                                  " of the visits' gradients at the minimum of a softmax network's "
                                  "cross-entropy, C = 4, p = 0.3",
                      .prediction = "the same of ∇²L by Hessian-vector products",
                      .measured = Measured::of(measured),
                      .predicted = right,
                      .effect = right.mean,
                      .least_n = 120000,
                      .rivals = {{"flips to any of the C classes", any_class.*part},
                                 {"the labels as they are: no flips", none.*part},
                                 {"σ² = p", flips * right}}};
  };
  return {comparison("tr Σ", trace, &VisitCovariance::trace),
          comparison("vᵀΣv", along, &VisitCovariance::along)};
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
  std::vector<Comparison> result = covariance_in_network(run);
  const std::vector<Comparison> on_the_valley = {
      {.quantity = "variance of a visit's ∂/∂z of the cross-entropy at its minimum, C = 4, p = 0.3",
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
  result.insert(result.end(), on_the_valley.begin(), on_the_valley.end());
  return result;
}

}  // namespace

void add_label_claims(Registry& registry) {
  registry.add_claim("flipped-labels",
                     {.statement = "with flipped labels the gradients' covariance at the minimum is ∇²L, and "
                                   "the label-noise theory holds with σ² = 1",
                      .source = "Gu et al. 2023, Section 3 and Theorem 3.3",
                      .comparisons = 5,
                      .measure = flipped_labels});
}

}  // namespace slowsde
