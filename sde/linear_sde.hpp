// Linear SDEs in the plane, of which both the solution's and a scheme's second moments are known without
// sampling: what a scheme does to them in a step is a matrix.
#pragma once

#include <Eigen/Dense>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "slowsde/sde/steppers.hpp"

namespace slowsde {

/// dX = (AX + a)dt + Σ_j (B_jX + b_j)dW_j, d = 2. In double precision only. Noise that is additive has B = 0,
/// diagonal noise B_j with the entry (j, j) alone.
template <int M, NoiseClass N, Calculus C = Calculus::ito>
struct LinearSde {
  static constexpr NoiseClass noise = N;
  static constexpr Calculus calculus = C;
  static constexpr int d = 2;
  using Vector = Eigen::Vector2d;
  using Matrix = Eigen::Matrix2d;
  Matrix A = Matrix::Zero();
  Vector a = Vector::Zero(), x0{1, 1};
  std::array<Matrix, M> B;
  std::array<Vector, M> b;

  int dim() const { return d; }
  int noise_dim() const { return M; }
  void drift(const double* x, double, double* out) const {
    Eigen::Map<Vector>{out} = A * Eigen::Map<const Vector>(x) + a;
  }
  void diffusion(const double* x, double, double* S) const {
    for (std::size_t j = 0; j < M; ++j) {
      const Vector column = B[j] * Eigen::Map<const Vector>(x) + b[j];
      if constexpr (N == NoiseClass::diagonal)
        S[j] = column[static_cast<Eigen::Index>(j)];
      else
        for (std::size_t i = 0; i < d; ++i) S[i * M + j] = column[static_cast<Eigen::Index>(i)];
    }
  }

  /// The same equation in Stratonovich's form: the drift without ½ Σ_j B_j(B_jX + b_j).
  LinearSde<M, N, Calculus::stratonovich> stratonovich() const {
    LinearSde<M, N, Calculus::stratonovich> result{A, a, x0, B, b};
    for (std::size_t j = 0; j < M; ++j) {
      result.A -= 0.5 * B[j] * B[j];
      result.a -= 0.5 * B[j] * b[j];
    }
    return result;
  }

  /// E uuᵀ at time t, u = (1, X), of an Itô equation: P' = ÂP + PÂᵀ + Σ_j B̂_jPB̂_jᵀ, by the exponential of
  /// that operator.
  Eigen::Matrix3d second_moment(double t) const {
    const auto augmented = [](const Matrix& linear, const Vector& constant) {
      Eigen::Matrix3d result = Eigen::Matrix3d::Zero();
      result.bottomRightCorner<2, 2>() = linear;
      result.bottomLeftCorner<2, 1>() = constant;
      return result;
    };
    const Eigen::Matrix3d drift_part = augmented(A, a);
    Eigen::Matrix<double, 9, 9> L;
    for (int c = 0; c < 9; ++c) {
      Eigen::Matrix3d P = Eigen::Matrix3d::Zero();
      P(c % 3, c / 3) = 1;
      Eigen::Matrix3d image = drift_part * P + P * drift_part.transpose();
      for (std::size_t j = 0; j < M; ++j) {
        const Eigen::Matrix3d field = augmented(B[j], b[j]);
        image += field * P * field.transpose();
      }
      L.col(c) = image.reshaped();
    }
    // scaling and squaring of a Taylor polynomial whose remainder is below rounding
    const Eigen::Matrix<double, 9, 9> step = L * (t / 1024);
    Eigen::Matrix<double, 9, 9> term = Eigen::Matrix<double, 9, 9>::Identity(), E = term;
    for (int k = 1; k <= 8; ++k) {
      term = (term * step / k).eval();
      E += term;
    }
    for (int s = 0; s < 10; ++s) E = (E * E).eval();
    const Eigen::Vector3d u{1, x0[0], x0[1]};
    const Eigen::Matrix3d P0 = u * u.transpose();
    const Eigen::Matrix<double, 9, 1> P = E * P0.reshaped();
    return P.reshaped(3, 3);
  }
};

/// Errors of a scheme at h and h/2 on one path, without sampling.
struct ExactErrors {
  double h = 0;
  double weak = 0;    ///< |E uuᵀ of X_{h/2} − the solution's|, u = (1, X)
  double strong = 0;  ///< √E|X_h − X_{h/2}|²
};

/// The order that successive errors tend to: 2p_n − p_{n−1} with p the last two local exponents.
double extrapolated_order(const std::vector<double>& errors);

namespace detail {

/// Noise that is handed in: the nodes of a quadrature over what a step draws.
template <int M>
struct GivenNoise {
  std::array<double, M> dW{};
  double sign = 0;
  void increments(std::uint64_t, double, double* out) { std::copy(dW.begin(), dW.end(), out); }
  void signs(std::uint64_t, int count, double* out) { std::fill(out, out + count, sign); }
};

/// Nodes and weights of the five-point Gauss–Hermite rule for the standard normal law: exact to degree 9.
std::array<std::array<double, 2>, 5> gauss_hermite();

}  // namespace detail

/// Errors over [0, end_time] at 2^first … 2^last steps. A step of these schemes takes (1, X) to a matrix
/// times it whose entries are polynomials of degree ≤ 2 in each increment, so a step of h beside two of h/2
/// takes the joint second moments of (1, X_h, X_{h/2}) to a matrix times them, and five nodes for each
/// increment and both values of each sign integrate that matrix exactly. `truth` is the Itô form.
template <class Scheme, class S, int M, NoiseClass N>
std::vector<ExactErrors> exact_errors(const Scheme& scheme, const S& sde, const LinearSde<M, N>& truth,
                                      double end_time, int first, int last) {
  using Joint = Eigen::Matrix<double, 5, 5>;  // of (1, X_h, X_{h/2})
  const auto rule = detail::gauss_hermite();
  const Eigen::Matrix3d exact = truth.second_moment(end_time);
  std::vector<ExactErrors> result;
  for (int level = first; level <= last; ++level) {
    const double h = end_time / std::exp2(level), root = std::sqrt(h / 2);
    Stepper<Scheme, S> stepper(scheme, sde);
    // (1, x) → (1, x') of one step as a matrix
    const auto map_of = [&](double dt, detail::GivenNoise<M>& noise) {
      Eigen::Matrix3d map = Eigen::Matrix3d::Zero();
      map(0, 0) = 1;
      for (int c = 0; c < 3; ++c) {
        Eigen::Vector2d x = Eigen::Vector2d::Zero();
        if (c > 0) x[c - 1] = 1;
        stepper.do_step(sde, x.data(), 0, dt, noise);
        map.block<2, 1>(1, c) = c == 0 ? x : Eigen::Vector2d(x - map.block<2, 1>(1, 0));
      }
      return map;
    };
    constexpr int nodes = M == 1 ? 25 : 625;
    constexpr int signs = M == 1 ? 1 : 8;
    Eigen::Matrix<double, 25, 25> Q = Eigen::Matrix<double, 25, 25>::Zero();
    for (int node = 0; node < nodes; ++node) {
      detail::GivenNoise<M> fine[2], coarse;
      double probability = 1.0 / signs;
      for (int i = 0, rest = node; i < 2 * M; ++i, rest /= 5) {
        const auto& [z, weight] = rule[static_cast<std::size_t>(rest % 5)];
        fine[i / M].dW[static_cast<std::size_t>(i % M)] = root * z;
        probability *= weight;
      }
      for (std::size_t j = 0; j < M; ++j) coarse.dW[j] = fine[0].dW[j] + fine[1].dW[j];
      for (int s = 0; s < signs; ++s) {
        fine[0].sign = 1 - 2 * (s & 1);
        fine[1].sign = 1 - 2 * (s >> 1 & 1);
        coarse.sign = 1 - 2 * (s >> 2 & 1);
        const Eigen::Matrix3d of_coarse = map_of(h, coarse);
        const Eigen::Matrix3d of_fine = map_of(h / 2, fine[1]) * map_of(h / 2, fine[0]);
        Joint K = Joint::Zero();
        K.topLeftCorner<3, 3>() = of_coarse;
        K.block<2, 1>(3, 0) = of_fine.block<2, 1>(1, 0);
        K.block<2, 2>(3, 3) = of_fine.block<2, 2>(1, 1);
        for (int i = 0; i < 5; ++i)
          for (int j = 0; j < 5; ++j) Q.block<5, 5>(5 * i, 5 * j) += probability * K(i, j) * K;
      }
    }
    for (int squared = 0; squared < level; ++squared) Q = (Q * Q).eval();  // 2^level steps
    Eigen::Vector<double, 5> z;
    z << 1, truth.x0, truth.x0;
    const Joint start = z * z.transpose();
    const Eigen::Vector<double, 25> end = Q * start.reshaped();
    const Joint P = end.reshaped(5, 5);
    const Eigen::Matrix2d cross = P.block<2, 2>(1, 3);
    const std::array<int, 3> of_fine{0, 3, 4};
    result.push_back(
        {h, (P(of_fine, of_fine) - exact).norm(),
         std::sqrt(P.block<2, 2>(1, 1).trace() + P.block<2, 2>(3, 3).trace() - 2 * cross.trace())});
  }
  return result;
}

}  // namespace slowsde
