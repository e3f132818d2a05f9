// Φ of one state of a multilayer perceptron with the squared loss, by a group of threads: the gradient flow
// by the stabilized steps of residual_flow.cpp and then, in residual space, the jump onto Γ. Written for any
// executor of blocks, as mlp_fit_passes.hpp is; every sum is one thread's or has an order of its own, so the
// bits depend neither on the threads of a group nor on their order within a phase.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "slowsde/gpu/mlp_fit_passes.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/flow_options.hpp"
#include "slowsde/sde/statistics.hpp"

namespace slowsde {

/// The same for all groups of a launch, passed to the kernels by value. N = n·C is the number of residuals.
struct MlpFitFlowSetup : MlpFitLayout<double> {
  static constexpr int vectors = 10;        ///< of θ's dimension that a group works with
  static constexpr int sum_of_thread = 64;  ///< terms that one thread adds
  static constexpr int panel = 16;          ///< columns of the Gram matrix that are factored at a time

  int residuals = 0;  ///< N
  int sums = 0;       ///< in a group's memory: partial sums of a vector
  int wide = 0;       ///< outputs of all layers but the last
  FlowOptions options;

  /// Numbers of a group in memory that all groups share: the vectors, JJᵀ, the residuals' adjoints of every
  /// layer but the last, (outputs × N), the products of activations of every layer, (n × n), and two right
  /// sides.
  SLOWSDE_HD std::size_t workspace() const {
    const auto N = static_cast<std::size_t>(residuals), n = static_cast<std::size_t>(visits);
    return vectors * static_cast<std::size_t>(dim) + N * N + static_cast<std::size_t>(wide) * N +
           static_cast<std::size_t>(layers) * n * n + 2 * N;
  }
};

/// Without its pointers. Throws what lay_out and FlowOptions::check throw, and std::invalid_argument for more
/// residuals than a Gram matrix is made of here.
template <class Fit>
MlpFitFlowSetup make_mlp_fit_flow(const Fit& fit, const FlowOptions& options) {
  constexpr int most_residuals = 4096;  // whose Gram matrix one block of threads factors
  options.check();
  const std::int64_t residuals = static_cast<std::int64_t>(fit.samples()) * fit.shape().widths.back();
  detail::require(residuals <= most_residuals, "flow on the device", "residuals <= 4096", residuals);
  MlpFitFlowSetup setup;
  lay_out(setup, fit.shape(), fit.samples());
  setup.residuals = static_cast<int>(residuals);
  for (int l = 0; l + 1 < setup.layers; ++l) setup.wide += setup.layer[l].outputs;
  const int longest = std::max(setup.dim, setup.residuals);
  setup.sums = setup.take((longest + setup.sum_of_thread - 1) / setup.sum_of_thread);
  setup.options = options;
  return setup;
}

/// How the flow of a state ended.
struct MlpFitFlowEnd {
  double residual;  ///< max|r|
  int converged;    ///< 1: as FlowResult::converged
  int steps, rejected, factorizations;
  std::int64_t gradients;
};

template <class Block>
class MlpFitFlow {
 public:
  using Setup = MlpFitFlowSetup;

  /// memory: (setup.numbers), workspace: (setup.workspace()).
  SLOWSDE_HD MlpFitFlow(const Block& block, const Setup& setup, double* memory, double* workspace)
      : block_(block), setup_(setup), passes_(block, setup, memory) {
    const std::size_t d = static_cast<std::size_t>(setup.dim), N = static_cast<std::size_t>(setup.residuals);
    for (int v = 0; v < Setup::vectors; ++v) vector_[v] = workspace + static_cast<std::size_t>(v) * d;
    gram_ = workspace + Setup::vectors * d;
    adjoints_ = gram_ + N * N;
    products_ = adjoints_ + static_cast<std::size_t>(setup.wide) * N;
    residual_ = products_ + static_cast<std::size_t>(setup.layers) * static_cast<std::size_t>(setup.visits) *
                                static_cast<std::size_t>(setup.visits);
    solution_ = residual_ + N;
  }

  /// θ ← Φ(θ), (d), in place; where it does not converge, to where it came.
  SLOWSDE_HD MlpFitFlowEnd run(double* theta) {
    end_ = {};
    passes_.gather(Itself{});
    double *x = vector_[0], *g = vector_[1], *next = vector_[2], *next_g = vector_[3];
    double *candidate = vector_[4], *doubled = vector_[5];
    each([&](int j) { x[j] = doubled[j] = theta[j]; });
    gradient(x, g);
    bool has_eigenvector = false, has_candidate = false;
    double rho = curvature_bound(x, 0.01, has_eigenvector);
    double h = 0.5 / rho, try_at = 10 / rho, time = 0;
    int since_bound = 0;
    const FlowOptions& options = setup_.options;
    while (end_.steps + end_.rejected < options.max_steps) {
      int s = 1 + static_cast<int>(std::sqrt(1 + 1.54 * h * rho));
      if (s > options.max_stages) {
        s = options.max_stages;
        h = (static_cast<double>(s - 1) * (s - 1) - 1) / (1.54 * rho);
      }
      s = s < 2 ? 2 : s;
      chebyshev_step(x, g, h, s, next);
      gradient(next, next_g);
      const double error =
          norm_of([&](int j) { return 0.8 * (x[j] - next[j]) - 0.4 * h * (g[j] + next_g[j]); });
      const double factor = step_factor(options.tolerance / (error > 1e-300 ? error : 1e-300));
      if (!(error <= options.tolerance)) {
        ++end_.rejected;
        h *= error - error == 0 ? factor : 0.1;
        rho = curvature_bound(x, 0.01, has_eigenvector);
        since_bound = 0;
        continue;
      }
      ++end_.steps;
      time += h;
      swap(x, next);
      swap(g, next_g);
      h *= factor;
      if (++since_bound == 10) {
        rho = curvature_bound(x, 0.02, has_eigenvector);
        since_bound = 0;
      }
      if (time < try_at) continue;
      try_at = 2 * time;
      // As on the CPU: a retraction is tried when τ has doubled and the flow covers little any more.
      const double covered = norm_of([&](int j) { return x[j] - doubled[j]; });
      each([&](int j) { doubled[j] = x[j]; });
      if (covered > 10 * std::sqrt(options.tolerance)) continue;
      double* const point = vector_[6];
      if (!gauss_newton(x, point, 8)) {
        has_candidate = false;
        continue;
      }
      const double estimate =
          norm_of([&](int j) { return point[j] - (has_candidate ? candidate[j] : x[j]); });
      has_candidate = true;
      each([&](int j) { candidate[j] = point[j]; });
      if (!(estimate <= options.tolerance)) continue;
      each([&](int j) { theta[j] = point[j]; });
      end_.converged = 1;
      return end_;
    }
    end_.residual = residual(x);
    each([&](int j) { theta[j] = x[j]; });
    return end_;
  }

 private:
  /// The flow looks at every sample once.
  struct Itself {
    SLOWSDE_HD int operator()(int visit) const { return visit; }
  };

  SLOWSDE_HD static void swap(double*& a, double*& b) {
    double* const kept = a;
    a = b;
    b = kept;
  }

  /// 0.8 of the cube root, from 0.1 to 5; by functions that have the same bits everywhere.
  SLOWSDE_HD static double step_factor(double quotient) {
    using T = Pack<double, 1>;
    const double factor = 0.8 * exp(log(T(quotient)) * T(1.0 / 3)).v;
    return factor < 0.1 ? 0.1 : factor > 5 ? 5 : factor;
  }

  /// f(j) for every component of θ.
  template <class F>
  SLOWSDE_HD void each(F f) const {
    block_.run([&](int thread, int threads) {
      for (int j = thread; j < setup_.dim; j += threads) f(j);
    });
  }

  /// Parts of `count` terms, then these: combine(a, b) from 0 on. All threads have the result.
  template <class F, class Combine>
  SLOWSDE_HD double reduce(int count, F f, Combine combine) const {
    double* const sums = passes_.memory() + setup_.sums;
    const int parts = (count + Setup::sum_of_thread - 1) / Setup::sum_of_thread;
    block_.run([&](int thread, int threads) {
      for (int part = thread; part < parts; part += threads) {
        const int begin = part * Setup::sum_of_thread;
        const int end = begin + Setup::sum_of_thread < count ? begin + Setup::sum_of_thread : count;
        double sum = 0;
        for (int i = begin; i < end; ++i) sum = combine(sum, f(i));
        sums[part] = sum;
      }
    });
    double total = 0;
    for (int part = 0; part < parts; ++part) total = combine(total, sums[part]);
    block_.run([](int, int) {});  // nobody overwrites a part that another has not read
    return total;
  }

  /// |v| of v(j) over θ's components.
  template <class F>
  SLOWSDE_HD double norm_of(F v) const {
    const auto square = [&](int j) {
      const double value = v(j);
      return value * value;
    };
    return std::sqrt(reduce(setup_.dim, square, [](double a, double b) { return a + b; }));
  }
  SLOWSDE_HD double norm(const double* v) const {
    return norm_of([v](int j) { return v[j]; });
  }

  SLOWSDE_HD double* outputs_adjoint() const {
    return passes_.memory() + setup_.layer[setup_.layers - 1].delta;
  }

  /// Activations and slopes at `at`, and r = f − y where the outputs' adjoints are.
  SLOWSDE_HD void evaluate(const double* at) {
    passes_.load(at);
    block_.run([&](int thread, int threads) {
      for (int i = thread; i < setup_.residuals; i += threads) outputs_adjoint()[i] = 0;
    });
    passes_.forward(Itself{});
  }

  /// Jᵀ times the outputs' adjoints, times a factor, where evaluate() was last.
  SLOWSDE_HD void pull_back(double factor, double* out) {
    passes_.backward();
    block_.run([&](int thread, int threads) {
      passes_.each_parameter(thread, threads,
                             [&](double&, int j, const typename MlpFitLayout<double>::Layer& layer, int o,
                                 int i) { out[j] = passes_.gradient(layer, o, i) * factor; });
    });
  }

  /// ∇L
  SLOWSDE_HD void gradient(const double* at, double* out) {
    ++end_.gradients;
    evaluate(at);
    pull_back(1.0 / setup_.visits, out);
  }

  /// max|r|; the residual itself stays in residual_.
  SLOWSDE_HD double residual(const double* at) {
    evaluate(at);
    block_.run([&](int thread, int threads) {
      for (int i = thread; i < setup_.residuals; i += threads) residual_[i] = outputs_adjoint()[i];
    });
    return reduce(
        setup_.residuals, [&](int i) { return std::abs(residual_[i]); },
        [](double a, double b) { return larger_or_nan(a, b); });
  }
  SLOWSDE_HD double residual_norm() const {
    const auto square = [&](int i) { return residual_[i] * residual_[i]; };
    return std::sqrt(reduce(setup_.residuals, square, [](double a, double b) { return a + b; }));
  }

  /// 1.2 times hessian_norm() of residual_flow.hpp from the vector that it left last.
  SLOWSDE_HD double curvature_bound(const double* x, double tolerance, bool& has_vector) {
    double *v = vector_[7], *base = vector_[8], *moved = vector_[9], *point = vector_[6];
    gradient(x, base);
    if (!has_vector || !(norm(v) > 0)) {
      each([&](int j) { v[j] = base[j]; });
      if (!(norm(v) > 0)) each([&](int j) { v[j] = 1; });
      has_vector = true;
    }
    const double step = 1e-6 * (1 + norm(x));
    double largest = 0;
    for (int k = 0; k < 100; ++k) {
      const double length = norm(v);
      each([&](int j) { v[j] = v[j] / length; });
      each([&](int j) { point[j] = x[j] + step * v[j]; });
      gradient(point, moved);
      each([&](int j) { v[j] = (moved[j] - base[j]) / step; });
      const double previous = largest;
      largest = norm(v);
      if (!(largest > 0)) break;
      if (std::abs(largest - previous) <= tolerance * largest) break;
    }
    return 1.2 * largest;
  }

  /// A step of length h of the second-order Runge–Kutta–Chebyshev method with s stages.
  SLOWSDE_HD void chebyshev_step(const double* x, const double* g, double h, int s, double* out) {
    // T_j, T_j', T_j'' at w0 = 1 + ε/s²: a first time for the weight w1, which all stages need.
    struct Recurrence {
      double w0, t_before = 1, t, d_before = 0, d = 1, dd_before = 0, dd = 0;
      SLOWSDE_HD explicit Recurrence(double at) : w0(at), t(at) {}
      SLOWSDE_HD void advance() {
        const double t_next = 2 * w0 * t - t_before, d_next = 2 * t + 2 * w0 * d - d_before,
                     dd_next = 4 * d + 2 * w0 * dd - dd_before;
        t_before = t;
        d_before = d;
        dd_before = dd;
        t = t_next;
        d = d_next;
        dd = dd_next;
      }
      SLOWSDE_HD double weight() const { return dd / (d * d); }  // b_j for j ≥ 2
    };
    const double w0 = 1 + (2.0 / 13) / (static_cast<double>(s) * s);
    Recurrence whole(w0);
    for (int j = 2; j <= s; ++j) whole.advance();
    const double w1 = whole.d / whole.dd;
    Recurrence stage(w0);
    stage.advance();
    const double first = stage.weight();  // b_0 = b_1 = b_2
    double b = first, b_before = first, b_two_before = first, t_before = w0;
    double *before = vector_[7 + 1], *last = vector_[7 + 2], *slope = vector_[6];
    const double start = first * w1 * h;
    each([&](int j) {
      before[j] = x[j];
      last[j] = x[j] - start * g[j];
    });
    for (int stage_number = 2; stage_number <= s; ++stage_number) {
      if (stage_number > 2) {
        t_before = stage.t;
        stage.advance();
        b = stage.weight();
      }
      const double mu = 2 * b * w0 / b_before, nu = -b / b_two_before, mu_h = 2 * b * w1 / b_before * h,
                   gamma_h = -(1 - b_before * t_before) * mu_h;
      gradient(last, slope);
      // Of the stage before the last nobody but this stage knows: the new one takes its place.
      each([&](int j) {
        before[j] = (1 - mu - nu) * x[j] + mu * last[j] + nu * before[j] - mu_h * slope[j] - gamma_h * g[j];
      });
      swap(before, last);
      b_two_before = b_before;
      b_before = b;
    }
    each([&](int j) { out[j] = last[j]; });
  }

  /// Gauss–Newton from x to `point`; false where it does not reach Γ.
  SLOWSDE_HD bool gauss_newton(const double* x, double* point, int most_steps) {
    double *trial = vector_[8], *move = vector_[9];
    each([&](int j) { point[j] = x[j]; });
    double largest = residual(point), length = residual_norm();
    for (int steps = 0; !(largest <= setup_.options.residual_tolerance) && steps < most_steps; ++steps) {
      ++end_.factorizations;
      form_gram();
      factor_gram();
      solve();
      block_.run([&](int thread, int threads) {
        for (int i = thread; i < setup_.residuals; i += threads) outputs_adjoint()[i] = solution_[i];
      });
      pull_back(1, move);
      each([&](int j) { trial[j] = point[j] - move[j]; });
      const double trial_largest = residual(trial), trial_length = residual_norm();
      if (!(trial_length < length)) break;
      each([&](int j) { point[j] = trial[j]; });
      largest = trial_largest;
      length = trial_length;
    }
    end_.residual = largest;
    return largest <= setup_.options.residual_tolerance;
  }

  /// The lower triangle of JJᵀ where evaluate() was last, by columns: row (i, c) of J has in layer l the
  /// block δ_l ⊗ (a_l, 1), hence
  ///   (JJᵀ)_{(i,c),(j,e)} = Σ_l (a_l^i·a_l^j + 1)(δ_l^{ic}·δ_l^{je}) ,
  /// with δ = the unit vector of c in the last layer.
  SLOWSDE_HD void form_gram() {
    const int n = setup_.visits, C = setup_.outputs(), N = setup_.residuals, last = setup_.layers - 1;
    const auto at_layer = [&](int l) { return products_ + static_cast<std::int64_t>(l) * n * n; };
    double* above = nullptr;
    double* own = adjoints_ + static_cast<std::int64_t>(setup_.wide) * N;
    for (int l = last; l >= 0; --l) {
      const auto& layer = setup_.layer[l];
      const bool unit = l == last;
      if (!unit) own -= static_cast<std::int64_t>(layer.outputs) * N;
      block_.run([&](int thread, int threads) {
        const double* const a = passes_.memory() + layer.below;
        for (int item = thread; item < n * n; item += threads) {
          const int i = item / n, j = item - i * n;
          double sum = 1;
          for (int k = 0; k < layer.inputs; ++k) sum += a[i * layer.inputs + k] * a[j * layer.inputs + k];
          at_layer(l)[item] = sum;
        }
        if (unit) return;
        const auto& next = setup_.layer[l + 1];
        const double* const w = passes_.memory() + next.weights;
        const double* const slope = passes_.memory() + layer.slope;
        for (int item = thread; item < layer.outputs * N; item += threads) {
          const int o = item / N, p = item - o * N, i = p / C;
          double sum = 0;
          if (l + 1 == last)
            sum = w[(p - i * C) * next.row + o];
          else
            for (int k = 0; k < next.outputs; ++k)
              sum += above[static_cast<std::int64_t>(k) * N + p] * w[k * next.row + o];
          own[item] = sum * slope[i * layer.outputs + o];
        }
      });
      above = own;
    }
    block_.run([&](int thread, int threads) {
      for (int item = thread; item < N * N; item += threads) {
        const int q = item / N, p = item - q * N;  // column, row
        if (p < q) continue;
        const int i = p / C, j = q / C, pair = i * n + j;
        double sum = p - i * C == q - j * C ? at_layer(last)[pair] : 0;
        const double* delta = adjoints_;
        for (int l = 0; l < last; ++l) {
          double product = 0;
          for (int o = 0; o < setup_.layer[l].outputs; ++o, delta += N) product += delta[p] * delta[q];
          sum += at_layer(l)[pair] * product;
        }
        gram_[item] = sum;
      }
    });
  }

  /// Cholesky's factor in place of the lower triangle, panel by panel. Where JJᵀ is not positive definite to
  /// rounding it is not a number, and the step that is made of it is taken back as any that fails.
  SLOWSDE_HD void factor_gram() {
    const int N = setup_.residuals;
    const auto L = [this, N](int row, int column) -> double& {
      return gram_[static_cast<std::int64_t>(column) * N + row];
    };
    for (int first = 0; first < N; first += Setup::panel) {
      const int width = N - first < Setup::panel ? N - first : Setup::panel;
      block_.run([&](int thread, int threads) {  // what the columns before take from the panel's
        const int rows = N - first;
        for (int item = thread; item < rows * width; item += threads) {
          const int column = item / rows, row = item - column * rows;
          if (row < column) continue;
          double sum = L(first + row, first + column);
          SLOWSDE_UNROLL(8)
          for (int k = 0; k < first; ++k) sum = sum - L(first + row, k) * L(first + column, k);
          L(first + row, first + column) = sum;
        }
      });
      block_.run([&](int thread, int) {  // the square on the diagonal: one after the other
        if (thread != 0) return;
        for (int c = first; c < first + width; ++c) {
          for (int k = first; k < c; ++k) L(c, c) -= L(c, k) * L(c, k);
          L(c, c) = std::sqrt(L(c, c));
          for (int r = c + 1; r < first + width; ++r) {
            for (int k = first; k < c; ++k) L(r, c) -= L(r, k) * L(c, k);
            L(r, c) /= L(c, c);
          }
        }
      });
      block_.run([&](int thread, int threads) {  // the rows below it
        for (int r = first + width + thread; r < N; r += threads)
          for (int c = first; c < first + width; ++c) {
            double sum = L(r, c);
            for (int k = first; k < c; ++k) sum = sum - L(r, k) * L(c, k);
            L(r, c) = sum / L(c, c);
          }
      });
    }
  }

  /// solution_ ← (JJᵀ)⁻¹ residual_ from the factor.
  SLOWSDE_HD void solve() {
    const int N = setup_.residuals;
    const auto L = [this, N](int row, int column) {
      return gram_[static_cast<std::int64_t>(column) * N + row];
    };
    block_.run([&](int thread, int threads) {
      for (int i = thread; i < N; i += threads) solution_[i] = residual_[i];
    });
    // Each unknown is left undivided by its diagonal entry until all others have what they need of it.
    for (int k = 0; k + 1 < N; ++k)
      block_.run([&](int thread, int threads) {
        const double known = solution_[k] / L(k, k);
        for (int i = k + 1 + thread; i < N; i += threads) solution_[i] -= L(i, k) * known;
      });
    const auto divide = [&] {
      block_.run([&](int thread, int threads) {
        for (int i = thread; i < N; i += threads) solution_[i] /= L(i, i);
      });
    };
    divide();
    for (int k = N - 1; k > 0; --k)
      block_.run([&](int thread, int threads) {
        const double known = solution_[k] / L(k, k);
        for (int i = thread; i < k; i += threads) solution_[i] -= L(k, i) * known;
      });
    divide();
  }

  const Block& block_;
  const Setup& setup_;
  MlpFitPasses<Block, double> passes_;
  MlpFitFlowEnd end_{};
  double* vector_[Setup::vectors];
  double *gram_, *adjoints_, *products_, *residual_, *solution_;
};

}  // namespace slowsde
