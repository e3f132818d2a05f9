// The conventional SDE of SGD (Li, Tai & E, JMLR 2019; [G23], §3), valid for O(1/η) steps:
//   dX = −∇L(X) dτ + √(η/B)·Σ(X)^{1/2} dW.
// Its time is τ = η·k after k steps. The slow SDEs' time is t = η²·k = η·τ: a slow time t is reached at
// τ = t/η.
//
// Σ is the covariance of one sample's gradient; any factor S with S Sᵀ = Σ gives the same law:
//   | noise                       | S(θ), columns                     | (rows × columns) |
//   | GaussianNoise               | the problem's noise_factor        | d × noise_dim    |
//   | LabelNoise, ε_ic ~ (0, σ²)  | σ·∇f_ic/√n                        | d × nC           |
//   | SamplingNoise               | (g_i − ḡ)/√n                      | d × n            |
// (fresh label noise adds −J_iᵀε to the gradient of a sample i chosen at random; on Γ it is all there is).
// Sampling without replacement has Σ·(n − B)/(n − 1) instead.
#pragma once

#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "slowsde/problems/gradient.hpp"
#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// Covariance from the problem's own factor.
struct GaussianNoise {
  template <class P>
  static constexpr bool accepts = GaussianNoiseProblem<P>;
  template <class P>
  int columns(const P&) const {
    return P::noise_dim;
  }
  void check() const {}
};

/// Fresh Gaussian noise of standard deviation sigma on every output of every visited sample.
struct LabelNoise {
  double sigma = 0;
  template <class P>
  static constexpr bool accepts = LeastSquaresProblem<P>;
  template <class P>
  int columns(const P& problem) const {
    return problem.samples() * outputs_per_sample(problem);
  }
  void check() const {
    if (!(sigma >= 0 && std::isfinite(sigma)))
      throw std::invalid_argument("label noise: 0 <= sigma < infinity is violated by " +
                                  std::to_string(sigma));
  }
};

/// The choice of a minibatch from the n samples.
struct SamplingNoise {
  bool with_replacement = true;
  template <class P>
  static constexpr bool accepts = LeastSquaresProblem<P>;
  template <class P>
  int columns(const P& problem) const {
    return problem.samples();
  }
  void check() const {}
};

namespace detail {

/// Residuals r_ic = f_ic − y_ic and their gradients, one sample at a time, without allocation where dimension
/// and outputs are known at compile time: visit(i, c, r, J) with J (d). n: the number of samples.
template <LeastSquaresProblem P, class T, class Visit>
SLOWSDE_HD void visit_residuals(const P& problem, int n, const T* theta, Visit visit) {
  if constexpr (StaticDimension<P> && requires { typename std::integral_constant<int, P::outputs_count>; }) {
    using D = Dual<T, P::dim>;
    std::array<D, P::dim> x;
    for (int j = 0; j < P::dim; ++j) x[static_cast<std::size_t>(j)] = D::variable(theta[j], j);
    std::array<D, P::outputs_count> f;
    std::array<T, P::outputs_count> y;
    for (int i = 0; i < n; ++i) {
      problem.outputs(x.data(), i, f.data());
      problem.targets(i, y.data());
      for (int c = 0; c < P::outputs_count; ++c) {
        const auto k = static_cast<std::size_t>(c);
        visit(i, c, f[k].v - y[k], f[k].d.data());
      }
    }
  } else {
    // Against the nC·d numbers of the Jacobian the allocation costs nothing.
    const auto outputs = static_cast<std::size_t>(outputs_per_sample(problem)),
               d = static_cast<std::size_t>(dimension(problem));
    std::vector<T> r(static_cast<std::size_t>(n) * outputs), J(r.size() * d);
    forward_blocks(problem, theta, [&](const auto* x, int first, int count) {
      using D = std::remove_cvref_t<decltype(*x)>;
      std::vector<D> f(outputs);
      std::vector<T> y(outputs);
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        problem.outputs(x, static_cast<int>(i), f.data());
        problem.targets(static_cast<int>(i), y.data());
        for (std::size_t c = 0; c < outputs; ++c) {
          const std::size_t a = i * outputs + c;
          r[a] = f[c].v - y[c];
          for (int j = 0; j < count; ++j)
            J[a * d + static_cast<std::size_t>(first + j)] = f[c].d[static_cast<std::size_t>(j)];
        }
      }
    });
    for (std::size_t a = 0; a < r.size(); ++a)
      visit(static_cast<int>(a / outputs), static_cast<int>(a % outputs), r[a], J.data() + a * d);
  }
}

}  // namespace detail

/// dX = −∇L dτ + √(η/B) Σ^{1/2} dW, Itô, general noise, for T = double and packs of trajectories. For Local
/// SGD's K copies `batch` is B_loc; see LocalRounds. The problem is held by reference.
template <Problem P, class NoiseModel>
requires(NoiseModel::template accepts<P>) class ConventionalSde {
 public:
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;

  /// Throws std::invalid_argument unless η > 0, B ≥ 1 (and B ≤ n without replacement) and the noise is valid.
  ConventionalSde(const P& problem, NoiseModel noise_model, double eta, int batch)
      : problem_(&problem), noise_model_(noise_model), columns_(noise_model.columns(problem)) {
    if constexpr (LeastSquaresProblem<P>) {
      samples_ = problem.samples();
      outputs_ = outputs_per_sample(problem);
    }
    if (!(eta > 0 && std::isfinite(eta)))
      throw std::invalid_argument("conventional SDE: 0 < eta < infinity is violated by " +
                                  std::to_string(eta));
    if (!(batch >= 1))
      throw std::invalid_argument("conventional SDE: batch >= 1 is violated by " + std::to_string(batch));
    noise_model.check();
    scale_ = std::sqrt(eta / batch);
    if constexpr (std::is_same_v<NoiseModel, SamplingNoise>) {
      const int n = problem.samples();
      if (!noise_model.with_replacement) {
        if (batch > n)
          throw std::invalid_argument("conventional SDE: batch <= " + std::to_string(n) +
                                      " samples is violated by " + std::to_string(batch));
        scale_ *= n > 1 ? std::sqrt(static_cast<double>(n - batch) / (n - 1)) : 0.0;
      }
    }
  }

  /// The same equation of a copy of the problem that lies elsewhere, on a GPU.
  SLOWSDE_HD ConventionalSde at(const P& problem) const {
    ConventionalSde result = *this;
    result.problem_ = &problem;
    return result;
  }

  SLOWSDE_HD int dim() const {
    if constexpr (StaticDimension<P>)
      return P::dim;
    else
      return dimension(*problem_);
  }
  SLOWSDE_HD int noise_dim() const { return columns_; }

  /// −∇L: (d).
  template <class T>
  SLOWSDE_HD void drift(const T* x, double, T* out) const {
    const int d = dim();
    if constexpr (LeastSquaresProblem<P> && StaticDimension<P>) {
      for (int j = 0; j < d; ++j) out[j] = T(0.0);
      const T weight(-1.0 / samples_);
      detail::visit_residuals(*problem_, samples_, x, [&](int, int, const T& r, const T* J) {
        for (int j = 0; j < d; ++j) out[j] = out[j] + weight * r * J[j];
      });
    } else if constexpr (StaticDimension<P>) {
      using D = Dual<T, P::dim>;
      std::array<D, P::dim> theta;
      for (int j = 0; j < d; ++j) theta[static_cast<std::size_t>(j)] = D::variable(x[j], j);
      const D value = problem_->loss(theta.data());
      for (int j = 0; j < d; ++j) out[j] = -value.d[static_cast<std::size_t>(j)];
    } else {
      gradient(*problem_, x, out);
      for (int j = 0; j < d; ++j) out[j] = -out[j];
    }
  }

  /// √(η/B)·S: (d × noise_dim), row-major.
  template <class T>
  SLOWSDE_HD void diffusion(const T* x, double, T* S) const {
    const int d = dim(), m = columns_;
    if constexpr (std::is_same_v<NoiseModel, GaussianNoise>) {
      problem_->noise_factor(x, S);
      for (int i = 0; i < d * m; ++i) S[i] = S[i] * T(scale_);
    } else if constexpr (std::is_same_v<NoiseModel, LabelNoise>) {
      const int C = outputs_;
      const T weight(scale_ * noise_model_.sigma / std::sqrt(static_cast<double>(samples_)));
      detail::visit_residuals(*problem_, samples_, x, [&](int i, int c, const T&, const T* J) {
        for (int j = 0; j < d; ++j) S[j * m + i * C + c] = weight * J[j];
      });
    } else {
      for (int i = 0; i < d * m; ++i) S[i] = T(0.0);
      detail::visit_residuals(*problem_, samples_, x,
                              [&](int i, int, const T& r, const T* J) {  // g_i = Σ_c r_ic ∇f_ic
                                for (int j = 0; j < d; ++j) S[j * m + i] = S[j * m + i] + r * J[j];
                              });
      const T share(1.0 / m), weight(scale_ / std::sqrt(static_cast<double>(m)));
      for (int j = 0; j < d; ++j) {
        T mean(0.0);
        for (int i = 0; i < m; ++i) mean = mean + S[j * m + i] * share;
        for (int i = 0; i < m; ++i) S[j * m + i] = (S[j * m + i] - mean) * weight;
      }
    }
  }

 private:
  const P* problem_;
  NoiseModel noise_model_;
  int columns_, samples_ = 1, outputs_ = 1;
  double scale_;
};

/// Local SGD on this horizon ([G23], §3): K copies of an SDE with batch B_loc start a round at the shared
/// point, run independently for ηH of τ, and are averaged. One step of this scheme is one round: dt = ηH, cut
/// into `substeps` steps of the inner scheme; copy w draws the noise of worker w. Take
/// EnsembleOptions::workers = K, output times that are multiples of ηH, and max_step = ηH.
template <class Scheme>
struct LocalRounds {
  Scheme scheme;
  int workers = 1;   ///< K
  int substeps = 1;  ///< steps of each copy per round

  /// Throws std::invalid_argument unless K ≥ 1 and substeps ≥ 1.
  void check() const {
    if (!(workers >= 1))
      throw std::invalid_argument("local rounds: workers >= 1 is violated by " + std::to_string(workers));
    if (!(substeps >= 1))
      throw std::invalid_argument("local rounds: substeps >= 1 is violated by " + std::to_string(substeps));
  }

  template <class S>
  static constexpr bool accepts = Scheme::template accepts<S>;

  template <class S>
  std::size_t workspace_size(const S& sde) const {
    check();
    return 2 * static_cast<std::size_t>(sde.dim()) + scheme.workspace_size(sde);
  }

  template <class S, class T, class Path>
  void do_step(const S& sde, T* x, const TimeStep& round, Path& path, T* workspace) const {
    const int d = sde.dim();
    T* copy = workspace;
    T* sum = copy + d;
    T* inner = sum + d;
    for (int i = 0; i < d; ++i) sum[i] = T(0.0);
    const auto steps = static_cast<std::uint64_t>(substeps);
    const double dt = round.dt / substeps;
    for (int w = 0; w < workers; ++w) {
      WorkerNoise<Path> noise{path, w};
      for (int i = 0; i < d; ++i) copy[i] = x[i];
      for (std::uint64_t h = 0; h < steps; ++h)
        scheme.do_step(sde, copy, TimeStep{round.k * steps + h, round.t + static_cast<double>(h) * dt, dt},
                       noise, inner);
      for (int i = 0; i < d; ++i) sum[i] = sum[i] + copy[i];
    }
    for (int i = 0; i < d; ++i) x[i] = sum[i] * T(1.0 / workers);
  }
};
template <class Scheme>
LocalRounds(Scheme, int, int) -> LocalRounds<Scheme>;

}  // namespace slowsde
