// Any least-squares problem as a LeastSquaresModel: residuals, Jacobian and second derivatives by jets over
// its outputs, or over its own reverse pass where it has one.
#pragma once

#include <Eigen/Core>
#include <utility>
#include <vector>

#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/least_squares_model.hpp"
#include "slowsde/problems/problem.hpp"

namespace slowsde {

/// The model of a copy of the problem. With a reverse pass the Jacobian costs nC of them and a curvature
/// contraction nC over Taylor<double, 1>; without, ⌈d/8⌉ forward passes over all samples and nC·⌈d/8⌉ over
/// single ones.
template <LeastSquaresProblem P>
class LeastSquaresModelOf final : public LeastSquaresModel {
 public:
  explicit LeastSquaresModelOf(P problem) : problem_(std::move(problem)) {}

  const P& problem() const { return problem_; }
  int dim() const override { return dimension(problem_); }
  int samples() const override { return problem_.samples(); }
  int outputs() const override { return outputs_per_sample(problem_); }

  void residual(const Eigen::VectorXd& theta, Eigen::VectorXd& r) const override {
    const int n = samples(), C = outputs();
    r.resize(n * C);
    std::vector<double> y(size(C));
    for (int i = 0; i < n; ++i) {
      problem_.outputs(theta.data(), i, r.data() + i * C);
      problem_.targets(i, y.data());
      for (int c = 0; c < C; ++c) r[i * C + c] -= y[size(c)];
    }
  }

  void jacobian(const Eigen::VectorXd& theta, Eigen::MatrixXd& J) const override {
    const int n = samples(), C = outputs(), d = dim();
    J.resize(n * C, d);
    if constexpr (HasSampleGradient<P>) {
      ReversePass<double> pass(*this);
      for (int i = 0; i < n; ++i)
        for (int c = 0; c < C; ++c) {
          const std::vector<double>& row = pass.output_gradient(theta.data(), i, c);
          for (int j = 0; j < d; ++j) J(i * C + c, j) = row[size(j)];
        }
    } else {
      detail::forward_blocks(problem_, theta.data(), [&](const auto* x, int first, int count) {
        std::vector<std::decay_t<decltype(*x)>> f(size(C));
        for (int i = 0; i < n; ++i) {
          problem_.outputs(x, i, f.data());
          for (int c = 0; c < C; ++c)
            for (int k = 0; k < count; ++k) J(i * C + c, first + k) = f[size(c)].d[size(k)];
        }
      });
    }
  }

  void gradient(const Eigen::VectorXd& theta, Eigen::VectorXd& g) const override {
    g.resize(dim());
    slowsde::gradient(problem_, theta.data(), g.data());
  }

  /// ∇²f_a w_a is the derivative of ∇f_a along w_a.
  void curvature_contraction(const Eigen::VectorXd& theta, const Eigen::MatrixXd& W,
                             Eigen::VectorXd& out) const override {
    using Jet = Taylor<double, 1>;
    const int n = samples(), C = outputs(), d = dim();
    out.setZero(d);
    std::vector<Jet> line(size(d));
    const auto set_line = [&](int a) {
      for (int j = 0; j < d; ++j) line[size(j)] = Jet::line(theta[j], W(j, a));
    };
    if constexpr (HasSampleGradient<P>) {
      ReversePass<Jet> pass(*this);
      for (int a = 0; a < n * C; ++a) {
        set_line(a);
        const std::vector<Jet>& g = pass.output_gradient(line.data(), a / C, a % C);
        for (int j = 0; j < d; ++j) out[j] += g[size(j)].c[1];
      }
    } else {
      for (int a = 0; a < n * C; ++a) {
        set_line(a);
        detail::forward_blocks(problem_, line.data(), [&](const auto* x, int first, int count) {
          std::vector<std::decay_t<decltype(*x)>> f(size(C));
          problem_.outputs(x, a / C, f.data());
          for (int k = 0; k < count; ++k) out[first + k] += f[size(a % C)].d[size(k)].c[1];
        });
      }
    }
  }

 private:
  static std::size_t size(int i) { return static_cast<std::size_t>(i); }

  /// The problem's reverse pass J_iᵀ(f_i − y_i − ε) turned into single rows of J by ε = f_i − y_i − e_c.
  template <class T>
  class ReversePass {
   public:
    explicit ReversePass(const LeastSquaresModelOf& model)
        : problem_(model.problem_),
          f_(size(model.outputs())),
          y_(f_.size()),
          g_(size(model.dim())),
          scratch_(size(model.problem_.scratch_size())) {}

    /// ∇f_ic(θ): (d), valid until the next call.
    const std::vector<T>& output_gradient(const T* theta, int i, int c) {
      problem_.outputs(theta, i, f_.data());
      problem_.targets(i, y_.data());
      for (std::size_t k = 0; k < f_.size(); ++k) f_[k] = f_[k] - y_[k];
      f_[size(c)] = f_[size(c)] - T(1.0);
      for (T& entry : g_) entry = T(0.0);
      problem_.add_sample_gradient(theta, i, f_.data(), g_.data(), scratch_.data());
      return g_;
    }

   private:
    const P& problem_;
    std::vector<T> f_, y_, g_, scratch_;
  };

  P problem_;
};

}  // namespace slowsde
