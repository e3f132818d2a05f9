// The geometry in lanes against the dense one, which shares its formulas but neither its eigenpairs nor its
// loops.
#include "slowsde/sde/lane_geometry.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/valley.hpp"
#include "slowsde/sde/gradient_flow.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

template <int D>
using Square = std::array<std::array<double, D>, D>;

template <int D>
double norm_of(const Square<D>& A) {
  double sum = 0;
  for (const auto& row : A)
    for (const double a : row) sum += a * a;
  return std::sqrt(sum);
}

/// Turns the plane (p, q) of A by the angle: JᵀAJ.
template <int D>
void turn(Square<D>& A, int p, int q, double angle) {
  const double c = std::cos(angle), s = std::sin(angle);
  for (int pass = 0; pass < 2; ++pass)
    for (int r = 0; r < D; ++r) {
      double &left = pass == 0 ? A[r][p] : A[p][r], &right = pass == 0 ? A[r][q] : A[q][r];
      const double kept = left;
      left = c * kept - s * right;
      right = s * kept + c * right;
    }
}

/// Largest error of A V = V Λ and of VᵀV = 1 for a matrix A of norm 1; infinite where it is not a number or
/// where the eigenvalues are not sorted.
template <int D>
double eigen_error(const Square<D>& A) {
  double rows[D][D], lambda[D], V[D][D], worst = 0;
  for (int i = 0; i < D; ++i)
    for (int j = 0; j < D; ++j) rows[i][j] = A[i][j];
  lane_eigenpairs(rows, lambda, V);
  const auto add = [&](double error) {
    if (!(std::abs(error) <= worst)) worst = std::isnan(error) ? HUGE_VAL : std::abs(error);
  };
  for (int i = 0; i < D; ++i)
    for (int k = 0; k < D; ++k) {
      double image = 0, product = 0;
      for (int j = 0; j < D; ++j) {
        image += A[k][j] * V[j][i];
        product += V[j][k] * V[j][i];
      }
      add(image - lambda[i] * V[k][i]);
      add(product - (i == k));
    }
  for (int i = 0; i + 1 < D; ++i)
    if (!(lambda[i] <= lambda[i + 1])) worst = HUGE_VAL;
  return worst;
}

/// Sweeps of cyclic Jacobi, written plainly, until what is beside the diagonal is negligible.
template <int D>
int sweeps_needed(Square<D> A) {
  const double norm = norm_of<D>(A);
  for (int sweep = 0;; ++sweep) {
    double off = 0;
    for (int p = 0; p < D; ++p)
      for (int q = p + 1; q < D; ++q) off += A[p][q] * A[p][q];
    if (!(std::sqrt(off) > 0x1p-54 * norm)) return sweep;
    for (int p = 0; p < D; ++p)
      for (int q = p + 1; q < D; ++q) {
        const double d = A[q][q] - A[p][p];
        turn<D>(A, p, q, d == 0 ? std::copysign(std::atan(1.0), A[p][q]) : 0.5 * std::atan(2 * A[p][q] / d));
        A[p][q] = A[q][p] = 0;
      }
  }
}

/// Eigenvalues that make the eigenpairs hard: generic, in close clusters, equal, zero but for a few, of very
/// different size.
template <int D>
Square<D> hard_matrix(int kind, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(-1, 1);
  Square<D> A{};
  for (int i = 0; i < D; ++i) {
    const double u = uniform(random);
    A[i][i] = kind == 0   ? u
              : kind == 1 ? 1 + 1e-9 * u
              : kind == 2 ? i % 2
              : kind == 3 ? (i == 0 ? 1 : 0)
              : kind == 4 ? std::pow(10, 8 * u)
                          : (i == 0 ? 1e-12 * u : 1 + 1e-4 * u);
  }
  for (int round = 0; round < 2; ++round)
    for (int p = 0; p < D; ++p)
      for (int q = p + 1; q < D; ++q) turn<D>(A, p, q, 3 * uniform(random));
  const double norm = norm_of<D>(A);
  for (int i = 0; i < D; ++i)
    for (int j = i; j < D; ++j) A[i][j] = A[j][i] = norm > 0 ? 0.5 * (A[i][j] + A[j][i]) / norm : 0;
  return A;
}

template <int D>
void check_eigenpairs(int count) {
  std::mt19937_64 random(100 + D);
  double worst = 0;
  int most = 0;
  for (int n = 0; n < count; ++n) {
    const Square<D> A = hard_matrix<D>(n % 6, random);
    worst = std::max(worst, eigen_error<D>(A));
    most = std::max(most, sweeps_needed<D>(A));
  }
  MESSAGE("D = ", D, ": error ", worst, ", sweeps ", most, " of ", jacobi_sweeps<D>);
  // each rotation that a column goes through rounds by at most 4 half ulps, and so do the sums here
  CHECK(worst <= 4 * 0x1p-53 * ((D - 1) * jacobi_sweeps<D> + D));
  CHECK(most <= (D <= 2 ? jacobi_sweeps<D> : jacobi_sweeps<D> - 2));
  Square<D> one{}, zero{}, broken = hard_matrix<D>(0, random);
  for (int i = 0; i < D; ++i) one[i][i] = 1;
  broken[0][0] = std::nan("");
  CHECK(eigen_error<D>(one) <= 1e-15);
  CHECK(eigen_error<D>(zero) <= 1e-15);
  CHECK(!(eigen_error<D>(broken) <= 1));
}

/// Points of a problem a little off Γ, and a point on it.
template <class P>
std::vector<Eigen::Matrix<double, P::dim, 1>> points_of(const P& problem, int rank, int count) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::vector<Eigen::Matrix<double, P::dim, 1>> points;
  const DenseGeometry<P> geometry(problem, {.rank = rank});
  const std::vector<double> start = problem.default_start();
  for (int n = 0; n < count; ++n) {
    Eigen::Matrix<double, P::dim, 1> x;
    for (int j = 0; j < P::dim; ++j) x[j] = start[static_cast<std::size_t>(j)] + 0.3 * normal(random);
    points.push_back(n % 2 == 0 ? project_to_manifold(geometry, x).point : x);
  }
  return points;
}

/// The geometries agree at every point in all that does not depend on the choice of a basis.
template <class P>
void check_problem(const P& problem, int rank) {
  constexpr int D = P::dim;
  using Matrix = Eigen::Matrix<double, D, D>;
  using Vector = Eigen::Matrix<double, D, 1>;
  const DenseGeometry<P> dense(problem, {.rank = rank});
  const LaneGeometry<P> lanes(problem, rank);
  double worst = 0;
  const auto compare = [&](double a, double b, double scale) {
    const double error = std::abs(a - b) / scale;
    worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
  };
  for (const Vector& x : points_of(problem, rank, 60)) {
    const auto expected = dense.at(x);
    LanePoint<double, D> p;
    lanes.at(x.data(), p);
    LaneFrame<double, D> frame;
    lanes.frame(x.data(), frame);
    const double scale = expected.lambda_max();
    Matrix V, lambda = Matrix::Zero(), M;
    for (int i = 0; i < D; ++i) {
      compare(p.lambda[i], expected.lambda[i], scale);
      compare(frame.lambda[i], expected.lambda[i], scale);
      compare(p.gradient[i], expected.gradient[i], scale);
      lambda(i, i) = p.lambda[i];
      for (int k = 0; k < D; ++k) {
        V(k, i) = p.V[k][i];
        M(k, i) = 1.0 / (1 + k + i) - 0.4 * (k == i);
      }
    }
    const Matrix H = V * lambda * V.transpose(),
                 H_expected = expected.V * expected.lambda.asDiagonal() * expected.V.transpose();
    const Matrix tangent = V.leftCols(D - rank) * V.leftCols(D - rank).transpose(),
                 tangent_expected = expected.tangent_projector();
    double m[D][D], contraction[D];
    for (int i = 0; i < D; ++i)
      for (int j = 0; j < D; ++j) {
        compare(H(i, j), H_expected(i, j), scale);
        compare(tangent(i, j), tangent_expected(i, j), 1);
        m[i][j] = M(i, j);
      }
    p.third_contraction(m, contraction);
    const Vector third = dense.third_contraction(expected, M);
    for (int k = 0; k < D; ++k) compare(contraction[k], third[k], std::max(scale, third.norm()));

    Vector y = x;
    const LaneFoot<double> foot = lanes.project(y.data(), 1e-10);
    const auto end = project_to_manifold(dense, x);
    if (!end.converged) continue;
    CHECK(foot.residual <= foot.bound);
    for (int k = 0; k < D; ++k) compare(y[k], end.point[k], 1);
    compare(foot.distance, end.distance, 1);
  }
  // eigenvectors err by ulps over the relative gap of the split, which is at least a tenth here
  CHECK(worst <= 1e-13);
}

template <class P>
void check_lanes(const P& problem, int rank) {
  constexpr int D = P::dim, W = native_width<double>;
  const LaneGeometry<P> lanes(problem, rank);
  const auto points = points_of(problem, rank, W);
  Pack<double, W> x[D];
  for (int l = 0; l < W; ++l)
    for (int j = 0; j < D; ++j) x[j].set(l, l == 3 && j == 0 ? std::nan("") : points[l][j]);
  LanePoint<Pack<double, W>, D> side_by_side;
  lanes.at(x, side_by_side);
  Pack<double, W> y[D];
  for (int j = 0; j < D; ++j) y[j] = x[j];
  const auto feet = lanes.project(y, 1e-10);
  int differing = 0;
  for (int l = 0; l < W; ++l) {
    Pack<double, 1> own[D];
    for (int j = 0; j < D; ++j) own[j] = Pack<double, 1>(x[j][l]);
    LanePoint<Pack<double, 1>, D> alone;
    lanes.at(own, alone);
    const auto foot = lanes.project(own, 1e-10);
    const auto same = [&](double a, double b) {
      if (std::isnan(a) != (l == 3)) ++differing;
      if (!std::isnan(a) && std::memcmp(&a, &b, sizeof a) != 0) ++differing;
    };
    same(foot.residual.v, feet.residual[l]);
    for (int i = 0; i < D; ++i) {
      if (l != 3) same(own[i].v, y[i][l]);
      if (l != 3) same(alone.lambda[i].v, side_by_side.lambda[i][l]);
      for (int k = 0; k < D && l != 3; ++k) {
        same(alone.V[k][i].v, side_by_side.V[k][i][l]);
        for (int j = 0; j < D; ++j) same(alone.third[k][i][j].v, side_by_side.third[k][i][j][l]);
      }
    }
  }
  CHECK(differing == 0);
}

}  // namespace

TEST_CASE("Jacobi rotations end with the eigenpairs of every symmetric matrix, within the sweeps allowed") {
  check_eigenpairs<1>(100);
  check_eigenpairs<2>(30000);
  check_eigenpairs<3>(30000);
  check_eigenpairs<4>(12000);
  check_eigenpairs<8>(3000);
}

TEST_CASE("lanes have the frames, the third derivative and the projection of the dense geometry") {
  check_problem(Valley{}, 1);
  check_problem(TwoValleys<2>{}, 2);
  check_problem(Circle{}, 1);
  check_problem(Sphere<3>{}, 1);
  check_problem(Ellipsoid<4>{}, 1);
  check_problem(CurvedValley<>{}, 1);
}

TEST_CASE("normal eigenvalues that meet change nothing") {
  // a₁ = 4 + sin x, a₂ = 4 − sin x: equal at x = 0, nearly so beside it
  const TwoValleys<1> valleys({4, 1}, {4, -1});
  const DenseGeometry<TwoValleys<1>> dense(valleys, {.rank = 2});
  const LaneGeometry<TwoValleys<1>> lanes(valleys, 2);
  for (const double x : {0.0, 1e-13, 1e-9, 1e-4}) {
    CAPTURE(x);
    const Eigen::Vector3d theta(x, 0, 0);
    LanePoint<double, 3> p;
    lanes.at(theta.data(), p);
    const auto expected = dense.at(theta);
    for (int i = 0; i < 3; ++i) {
      CHECK(test::near(p.lambda[i], expected.lambda[i], 1e-14));
      CHECK(test::near(p.V[i][0] * p.V[i][0], i == 0, 1e-14));  // the tangent is the x axis
    }
    double M[3][3], contraction[3];
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) M[i][j] = p.V[i][1] * p.V[j][1] + p.V[i][2] * p.V[j][2];
    p.third_contraction(M, contraction);
    CHECK(test::near(contraction[0], 0, 1e-13));  // d tr ∇²L/dx = a₁' + a₂' = 0
  }
}

TEST_CASE("a lane has the same bits whatever the others hold, one that is not a number included") {
  check_lanes(CurvedValley<>{}, 1);
  check_lanes(Sphere<3>{}, 1);
}

TEST_CASE("a projection that does not converge says so") {
  // next to its centre the circle's Newton step goes far out and comes back by halves
  const LaneGeometry<Circle> circle(Circle{}, 1);
  double far[2] = {1e6, 0}, near[2] = {1.1, 0}, lost[2] = {std::nan(""), 0};
  const auto foot = circle.project(far, 1e-10);
  CHECK(!(foot.residual <= foot.bound));
  const auto close = circle.project(near, 1e-10);
  CHECK(close.residual <= close.bound);
  CHECK(test::near(near[0], 1, 1e-14));
  CHECK(test::near(close.distance, 0.1, 1e-13));
  const auto none = circle.project(lost, 1e-10);
  CHECK(!(none.residual <= none.bound));
  CHECK_THROWS_AS(LaneGeometry<Circle>(Circle{}, 3), std::invalid_argument);
}
