// The geometry of Γ as dense_geometry.hpp has it, for a small problem whose rank is known, lane by lane:
// without branches on numbers and without memory of its own, so that a pack of trajectories or a thread of a
// GPU computes it. T is double or a pack; a lane's bits depend on no other lane. In double precision only.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "slowsde/problems/jet.hpp"
#include "slowsde/problems/lane_loss.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/problem.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

/// Whether the slow SDE of a problem can run in lanes: a static dimension up to 8 and outputs, if it has any,
/// whose number is known at compile time.
template <class P>
concept LaneManifoldProblem = Problem<P> && static_dimension<P>()
>= 1 && static_dimension<P>() <= 8 &&
    (GeneralLoss<P> || requires { typename std::integral_constant<int, P::outputs_count>; });

/// A closed Φ that is a function of packs, too.
template <class P>
concept LaneClosedPhi = HasClosedPhi<P> && requires(const P& p, const Pack<double>* x, Pack<double>* out) {
  p.phi(x, out);
};

/// Most sweeps of Jacobi rotations. Sweeps end when what is left beside the diagonal is negligible in every
/// lane; in two dimensions that is after the first rotation. Cyclic Jacobi converges quadratically, whatever
/// the eigenvalues (Golub & Van Loan, "Matrix Computations", §8.5); those matrices that its test draws, with
/// close, equal and vanishing eigenvalues and of every scale, are done two sweeps earlier.
template <int D>
inline constexpr int jacobi_sweeps = D == 1   ? 0
                                     : D == 2 ? 1
                                              : D + 4;

/// A v_i = λ_i v_i in ascending order for a symmetric matrix A, which is lost; V[k][i] is component k of v_i.
template <class T, int D>
SLOWSDE_HD void lane_eigenpairs(T (&A)[D][D], T (&lambda)[D], T (&V)[D][D]) {
  using std::abs;
  using std::sqrt;
  const T zero(0.0), one(1.0), two(2.0), four(4.0);
  T norm(0.0);  // |A|²
  for (int p = 0; p < D; ++p)
    for (int q = 0; q < D; ++q) {
      V[p][q] = p == q ? one : zero;
      norm = norm + A[p][q] * A[p][q];
    }
  const T negligible = T(0x1p-108) * norm;  // of the squares beside the diagonal: a quarter of an ulp of |A|
  for (int sweep = 0; sweep < jacobi_sweeps<D>; ++sweep) {
    T off(0.0);
    for (int p = 0; p < D; ++p)
      for (int q = p + 1; q < D; ++q) off = off + A[p][q] * A[p][q];
    const auto active = off > negligible;
    if (!any(active)) break;
    for (int p = 0; p < D; ++p)
      for (int q = p + 1; q < D; ++q) {
        // t = tan of the angle that makes A_pq vanish, |t| ≤ 1: 2a/(d ± √(d² + 4a²)), the sign that of d
        const T a = A[p][q], d = A[q][q] - A[p][p];
        const T size = abs(d) + sqrt(d * d + four * a * a);
        const auto turns = active & (size > zero);
        const T wanted = two * select(d < zero, -a, a) / select(turns, size, one);
        const T t = select(turns, wanted, zero);
        const T c = one / sqrt(one + t * t), s = t * c;
        A[p][p] = A[p][p] - t * a;
        A[q][q] = A[q][q] + t * a;
        A[p][q] = A[q][p] = select(turns, zero, a);
        for (int r = 0; r < D; ++r) {
          if (r != p && r != q) {
            const T left = A[r][p], right = A[r][q];
            A[r][p] = A[p][r] = c * left - s * right;
            A[r][q] = A[q][r] = s * left + c * right;
          }
          const T left = V[r][p], right = V[r][q];
          V[r][p] = c * left - s * right;
          V[r][q] = s * left + c * right;
        }
      }
  }
  for (int i = 0; i < D; ++i) lambda[i] = A[i][i];
  // Odd–even transposition sort: the same D(D−1)/2 comparisons for every lane.
  SLOWSDE_UNROLL(8)
  for (int round = 0; round < D; ++round)
    for (int i = round % 2; i + 1 < D; i += 2) {
      const auto swap = lambda[i + 1] < lambda[i];
      const auto exchange = [&](T& left, T& right) {
        const T kept = left;
        left = select(swap, right, left);
        right = select(swap, kept, right);
      };
      exchange(lambda[i], lambda[i + 1]);
      for (int k = 0; k < D; ++k) exchange(V[k][i], V[k][i + 1]);
    }
}

/// Tangent and normal space: eigenpairs in ascending order, of which the first D − rank are tangent.
template <class T, int D>
struct LaneFrame {
  T gradient[D], lambda[D];
  T V[D][D];  ///< V[k][i]: component k of v_i

  /// Components of u in the eigenbasis.
  SLOWSDE_HD void to_eigenbasis(const T* u, T* c) const {
    for (int i = 0; i < D; ++i) {
      c[i] = V[0][i] * u[0];
      for (int k = 1; k < D; ++k) c[i] = c[i] + V[k][i] * u[k];
    }
  }
  SLOWSDE_HD void from_eigenbasis(const T* c, T* u) const {
    for (int k = 0; k < D; ++k) {
      u[k] = V[k][0] * c[0];
      for (int i = 1; i < D; ++i) u[k] = u[k] + V[k][i] * c[i];
    }
  }
};

/// A frame with the third derivative: third[k][i][j] = ∂_kij L.
template <class T, int D>
struct LanePoint : LaneFrame<T, D> {
  T third[D][D][D];

  /// ∇³L[M] with entries Σ_ij ∂_kij L·M_ij, for symmetric M: (d).
  SLOWSDE_HD void third_contraction(const T (&M)[D][D], T* out) const {
    for (int k = 0; k < D; ++k) {
      out[k] = T(0.0);
      for (int i = 0; i < D; ++i) {
        out[k] = out[k] + third[k][i][i] * M[i][i];
        for (int j = i + 1; j < D; ++j) out[k] = out[k] + T(2.0) * (third[k][i][j] * M[i][j]);
      }
    }
  }
};

/// A point of Γ and how it was reached, lane by lane.
template <class T>
struct LaneFoot {
  T residual;  ///< |∇L| there
  T distance;  ///< from where the projection began
  T bound;     ///< the residual of a converged lane is at most this
};

template <LaneManifoldProblem P>
class LaneGeometry {
 public:
  static constexpr int D = static_dimension<P>();

  LaneGeometry(const P& which, int rank) : problem_(which), rank_(rank) {
    if constexpr (LeastSquaresProblem<P>) samples_ = which.samples();
    detail::require(rank >= 0 && rank <= D, "lane geometry", "0 <= rank <= dim", rank);
  }

  SLOWSDE_HD const P& problem() const { return problem_; }
  SLOWSDE_HD int samples() const { return samples_; }
  SLOWSDE_HD int rank() const { return rank_; }
  SLOWSDE_HD int tangent() const { return D - rank_; }  ///< dim Γ

  template <class T>
  SLOWSDE_HD void frame(const T* x, LaneFrame<T, D>& p) const {
    T H[D][D];
    SLOWSDE_UNROLL(8)
    for (int j = 0; j < D; ++j) {
      Taylor<T, 1> g[D];
      series(x, j, j, g);
      for (int k = 0; k < D; ++k) {
        p.gradient[k] = g[k].c[0];
        H[k][j] = g[k].c[1];
      }
    }
    split(H, p);
  }

  /// Sweeps along e_j give ∂_kjj for all k; along e_i + e_j they give the ∂_kij with three indices that
  /// differ, of which k > j > i suffice.
  template <class T>
  SLOWSDE_HD void at(const T* x, LanePoint<T, D>& p) const {
    T H[D][D];
    SLOWSDE_UNROLL(8)
    for (int j = 0; j < D; ++j) {
      Taylor<T, 2> g[D];
      series(x, j, j, g);
      for (int k = 0; k < D; ++k) {
        p.gradient[k] = g[k].c[0];
        H[k][j] = g[k].c[1];
        p.third[k][j][j] = p.third[j][k][j] = p.third[j][j][k] = T(2.0) * g[k].c[2];
      }
    }
    for (int i = 0; i + 2 < D; ++i)
      for (int j = i + 1; j + 1 < D; ++j) {
        Taylor<T, 2> g[D];
        series(x, i, j, g);
        for (int k = j + 1; k < D; ++k) {
          // ∇³L[u, v] = ½(∇³L[u+v, u+v] − ∇³L[u, u] − ∇³L[v, v])
          const T mixed = T(0.5) * (T(2.0) * g[k].c[2] - p.third[k][i][i] - p.third[k][j][j]);
          p.third[k][i][j] = p.third[k][j][i] = p.third[i][k][j] = p.third[i][j][k] = p.third[j][k][i] =
              p.third[j][i][k] = mixed;
        }
      }
    split(H, p);
  }

  /// Newton's iteration x ← x − 𝓗^†∇L(x), as project_to_manifold does it, with its end for each lane: the
  /// steps have stopped shrinking or are so short that the next is roundoff. `residual` is the largest |∇L|
  /// of a converged lane, relative to λ_max. Steps of an SDE end close to Γ, where convergence is quadratic
  /// and four iterations reach roundoff; a lane that needs more than the twelve here is reported by its
  /// residual.
  template <class T>
  SLOWSDE_HD LaneFoot<T> project(T* x, double residual) const {
    using std::sqrt;
    constexpr int iterations = 12;
    const T one(1.0), zero(0.0);
    T from[D], last(std::numeric_limits<double>::infinity()), largest(0.0);
    for (int j = 0; j < D; ++j) from[j] = x[j];
    auto active = zero < one;
    for (int iteration = 0; iteration < iterations && any(active); ++iteration) {
      LaneFrame<T, D> p;
      frame(static_cast<const T*>(x), p);
      largest = select(active, p.lambda[D - 1], largest);
      T c[D], step[D];
      p.to_eigenbasis(p.gradient, c);
      for (int i = 0; i < D; ++i) c[i] = i < tangent() ? zero : c[i] / p.lambda[i];
      p.from_eigenbasis(c, step);
      T square(0.0), size(0.0);
      for (int j = 0; j < D; ++j) square = square + step[j] * step[j];
      const T length = sqrt(square);
      const auto moves = active & (length < T(0.5) * last) & (length > zero);
      for (int j = 0; j < D; ++j) {
        x[j] = select(moves, x[j] - step[j], x[j]);
        size = size + x[j] * x[j];
      }
      last = select(moves, length, last);
      active = moves & (length > T(1e-9) * (one + sqrt(size)));
    }
    T g[D], square(0.0), moved(0.0);
    lane_gradient(problem_, samples_, static_cast<const T*>(x), g);
    for (int j = 0; j < D; ++j) {
      square = square + g[j] * g[j];
      moved = moved + (x[j] - from[j]) * (x[j] - from[j]);
    }
    return {sqrt(square), sqrt(moved), T(residual) * largest};
  }

 private:
  /// Taylor series of ∇L along e_i, or along e_i + e_j where j ≠ i.
  template <class T, int N>
  SLOWSDE_HD void series(const T* x, int i, int j, Taylor<T, N> (&g)[D]) const {
    Taylor<T, N> theta[D];
    for (int k = 0; k < D; ++k) theta[k] = Taylor<T, N>::line(x[k], T(k == i || k == j ? 1.0 : 0.0));
    lane_gradient(problem_, samples_, static_cast<const Taylor<T, N>*>(theta), static_cast<Taylor<T, N>*>(g));
  }

  template <class T>
  SLOWSDE_HD static void split(T (&H)[D][D], LaneFrame<T, D>& p) {
    for (int i = 0; i < D; ++i)
      for (int j = i + 1; j < D; ++j) H[i][j] = H[j][i] = T(0.5) * (H[i][j] + H[j][i]);
    lane_eigenpairs(H, p.lambda, p.V);
  }

  P problem_;
  int rank_, samples_ = 1;
};

}  // namespace slowsde
