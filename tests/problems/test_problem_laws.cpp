// The laws that every problem obeys, stated once: whatever a problem offers in closed form is what its loss
// implies, at the origin, next to it and at a generic point.
#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <boost/math/differentiation/autodiff.hpp>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/derivatives.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/user_valley.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::MatrixXd;
using Eigen::VectorXd;

namespace {

/// The problem with nothing but its loss: what is derived from it owes nothing to the problem's own gradient.
template <class P>
struct LossOnly {
  const P& problem;
  int dim() const { return dimension(problem); }
  template <class T>
  T loss(const T* theta) const {
    return slowsde::loss(problem, theta);
  }
};

/// Numbers of order one without pattern, the same on every run.
double scatter(int k) { return std::sin(12.9898 * k + 78.233); }

VectorXd generic_vector(int d, int salt) {
  VectorXd v(d);
  for (int j = 0; j < d; ++j) v[j] = 0.9 * scatter(31 * salt + j) + 0.15;
  return v;
}

template <class P>
VectorXd own_gradient(const P& problem, const VectorXd& x) {
  VectorXd g(x.size());
  gradient(problem, x.data(), g.data());
  return g;
}

/// |a − b| ≤ tol·max(1, |b|) in the largest entry; false for NaN.
bool close(const VectorXd& a, const VectorXd& b, double tol) {
  const double scale = std::fmax(1.0, b.cwiseAbs().maxCoeff());
  return a.allFinite() && b.allFinite() && (a - b).cwiseAbs().maxCoeff() <= tol * scale;
}

template <class P, class Check>
void in_three_regimes(const P& problem, Check check) {
  const int d = dimension(problem);
  for (const double scale : {0.0, 1e-8, 1.0}) {
    CAPTURE(scale);
    check(VectorXd(scale * generic_vector(d, 1)));
  }
}

/// Calls law(name, problem) for every problem of the library.
template <class Law>
void for_all_problems(Law law) {
  const auto visit = [&](const char* name, const auto& problem) {
    CAPTURE(std::string(name));
    law(problem);
  };
  visit("valley", Valley{});
  visit("user valley, quadratic", UserValley<>{});
  visit("user valley, sine", UserValley<SineSteepness>{{3.0, -1.5}});
  visit("user valley, exponential", UserValley<ExponentialSteepness>{{0.7, 0.6}});
  visit("two valleys, two samples", TwoValleys<2>{});
  visit("two valleys, two outputs", TwoValleys<1>{});
  visit("circle", Circle{-0.4});
  visit("curved valley", CurvedValley<>{});
  visit("sphere", Sphere<4>{0.7});
  visit("ellipsoid", Ellipsoid<3>{});
  visit("diagonal network", DiagonalNetwork(SparseRegression{7, 11, 2, 5}.generate()));
  visit("matrix factorization", MatrixFactorization(RandomLowRank{4, 3, 2, 9}, 3));
  visit("matrix sensing", MatrixSensing(RandomSensing{{4, 3, 1, 9}, 6}.generate(), 2));
}

constexpr int small = 12;  // dimensions up to which d × d differences are taken in full

}  // namespace

TEST_CASE("a problem's own gradient is the derivative of its loss") {
  for_all_problems([](const auto& problem) {
    in_three_regimes(problem, [&](const VectorXd& x) {
      const LossOnly<std::decay_t<decltype(problem)>> bare{problem};
      const VectorXd g = own_gradient(problem, x);
      CHECK(close(g, own_gradient(bare, x), 1e-13));
      const double h = 1e-5;
      const int d = static_cast<int>(x.size());
      VectorXd difference(d);
      for (int j = 0; j < d; ++j) {
        const VectorXd up = x + h * VectorXd::Unit(d, j), down = x - h * VectorXd::Unit(d, j);
        difference[j] = (loss(problem, up.data()) - loss(problem, down.data())) / (2 * h);
      }
      CHECK(close(g, difference, 1e-7));
    });
  });
}

TEST_CASE("gradient and directional derivatives up to the third agree with Boost's autodiff") {
  namespace ad = boost::math::differentiation;
  for_all_problems([](const auto& problem) {
    const int d = dimension(problem);
    if (d > small) return;
    in_three_regimes(problem, [&](const VectorXd& x) {
      const VectorXd g = own_gradient(problem, x);
      for (int j = 0; j < d; ++j) {
        std::vector<ad::autodiff_fvar<double, 1>> point(x.data(), x.data() + d);
        point[static_cast<std::size_t>(j)] = ad::make_fvar<double, 1>(x[j]);
        CHECK(test::near(g[j], loss(problem, point.data()).derivative(1), 1e-13));
      }
      const VectorXd u = generic_vector(d, 2);
      const auto s = ad::make_fvar<double, 3>(0.0);
      std::vector<ad::autodiff_fvar<double, 3>> line;
      for (int j = 0; j < d; ++j) line.push_back(x[j] + s * u[j]);
      const auto along = loss(problem, line.data());
      CHECK(test::near(u.dot(hessian_vector_product(problem, x, u)), along.derivative(2), 1e-12));
      CHECK(test::near(u.dot(third_contraction(problem, x, u)), along.derivative(3), 1e-12));
    });
  });
}

TEST_CASE("Hessian-vector products and third contractions are derivatives of the gradient and of ⟨∇²L, M⟩") {
  for_all_problems([](const auto& problem) {
    const int d = dimension(problem);
    in_three_regimes(problem, [&](const VectorXd& x) {
      const VectorXd u = generic_vector(d, 3);
      const double h = 1e-5;
      CHECK(close(hessian_vector_product(problem, x, u),
                  (own_gradient(problem, x + h * u) - own_gradient(problem, x - h * u)) / (2 * h), 1e-7));
      const VectorXd w = generic_vector(d, 4);
      const MatrixXd M = u * u.transpose() - 0.5 * w * w.transpose();
      const auto contracted = [&](const VectorXd& at) {  // ⟨∇²L, M⟩
        return u.dot(hessian_vector_product(problem, at, u)) -
               0.5 * w.dot(hessian_vector_product(problem, at, w));
      };
      const VectorXd third = third_contraction_of_matrix(problem, x, M);
      VectorXd difference(d);
      for (int j = 0; j < d; ++j) {
        const VectorXd e = h * VectorXd::Unit(d, j);
        difference[j] = (contracted(x + e) - contracted(x - e)) / (2 * h);
      }
      CHECK(close(third, difference, 1e-7));
    });
  });
}

TEST_CASE("the default start lies on Γ, where the trace of the Hessian has its closed form") {
  for_all_problems([](const auto& problem) {
    {
      const std::vector<double> start = problem.default_start();
      REQUIRE(static_cast<int>(start.size()) == dimension(problem));
      const VectorXd x = Eigen::Map<const VectorXd>(start.data(), dimension(problem));
      CHECK(loss(problem, start.data()) <= 1e-24);
      const MatrixXd h = hessian(problem, x);
      CHECK(test::near_relative(problem.trace_on_manifold(x.data()), h.trace(), 1e-12));
      const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(h);
      CHECK(eigen.eigenvalues()[0] >= -1e-12 * h.trace());
      CHECK(eigen.eigenvalues()[0] <= 1e-12 * h.trace());  // Γ has a dimension
    }
  });
}

TEST_CASE("a closed Φ ends on Γ, keeps the points of Γ and is constant along the gradient flow") {
  for_all_problems([](const auto& problem) {
    if constexpr (HasClosedPhi<std::decay_t<decltype(problem)>>) {
      const int d = dimension(problem);
      for (const double scale : {0.3, 1.0, 2.5}) {
        CAPTURE(scale);
        const VectorXd x = scale * generic_vector(d, 1);
        VectorXd end(d), again(d);
        problem.phi(x.data(), end.data());
        CHECK(std::sqrt(loss(problem, end.data())) <= 1e-14);
        problem.phi(end.data(), again.data());
        CHECK(close(again, end, 1e-14));
        using Jet = Taylor<double, 1>;
        const auto slope = [&](const VectorXd& u) {  // ∂Φ·u
          std::vector<Jet> line, image(static_cast<std::size_t>(d));
          for (int j = 0; j < d; ++j) line.push_back(Jet::line(x[j], u[j]));
          problem.phi(line.data(), image.data());
          VectorXd result(d);
          for (int j = 0; j < d; ++j) result[j] = image[static_cast<std::size_t>(j)].c[1];
          return result;
        };
        const VectorXd g = own_gradient(problem, x);
        CHECK(slope(g).norm() <= 1e-13 * g.norm());
        CHECK(slope(generic_vector(d, 5)).norm() > 1e-3);  // not by being constant everywhere
      }
    }
  });
}

TEST_CASE(
    "each lane of a pack has the scalar's loss, gradient and noise, in single precision to its rounding") {
  for_all_problems([](const auto& problem) {
    using P = std::decay_t<decltype(problem)>;
    const auto compare = [&]<class Real>(Real, double tol) {
      using T = Pack<Real>;
      const auto d = static_cast<std::size_t>(dimension(problem));
      std::vector<T> x(d), g(d);
      std::vector<VectorXd> lanes;
      for (int l = 0; l < T::width; ++l) {
        lanes.push_back(generic_vector(static_cast<int>(d), 7 + l));
        for (std::size_t j = 0; j < d; ++j) {
          x[j].set(l, static_cast<Real>(lanes.back()[static_cast<Eigen::Index>(j)]));
          lanes.back()[static_cast<Eigen::Index>(j)] = x[j][l];
        }
      }
      const T value = loss(problem, x.data());
      gradient(problem, x.data(), g.data());
      for (int l = 0; l < T::width; ++l) {
        const VectorXd& lane = lanes[static_cast<std::size_t>(l)];
        VectorXd pack_gradient(dimension(problem));
        for (std::size_t j = 0; j < d; ++j) pack_gradient[static_cast<Eigen::Index>(j)] = g[j][l];
        CHECK(test::near(value[l], loss(problem, lane.data()), tol));
        CHECK(close(pack_gradient, own_gradient(problem, lane), tol));
      }
      if constexpr (GaussianNoiseProblem<P>) {
        std::vector<T> S(d * P::noise_dim);
        problem.noise_factor(x.data(), S.data());
        for (int l = 0; l < T::width; ++l) {
          std::vector<double> expected(S.size());
          problem.noise_factor(lanes[static_cast<std::size_t>(l)].data(), expected.data());
          for (std::size_t k = 0; k < S.size(); ++k) CHECK(test::near(S[k][l], expected[k], tol));
        }
      }
    };
    compare(double{}, 1e-14);
    compare(float{}, 2e-6);
  });
}

TEST_CASE("a lane that holds the index of its own sample has the outputs and the gradient of that sample") {
  for_all_problems([](const auto& problem) {
    using P = std::decay_t<decltype(problem)>;
    if constexpr (LeastSquaresProblem<P>) {
      using T = Pack<double>;
      const auto d = static_cast<std::size_t>(dimension(problem));
      const auto C = static_cast<std::size_t>(outputs_per_sample(problem));
      IndexPack<T::width> index;
      for (int l = 0; l < T::width; ++l) index.set(l, (3 * l + 1) % problem.samples());
      const VectorXd point = generic_vector(static_cast<int>(d), 1);
      const std::vector<T> x(point.data(), point.data() + d);
      std::vector<T> f(C), y(C);
      problem.outputs(x.data(), index, f.data());
      problem.targets(index, y.data());
      const std::vector<Dual<T, 2>> jets(point.data(), point.data() + d);
      std::vector<Dual<T, 2>> f_jets(C);
      problem.outputs(jets.data(), index, f_jets.data());  // sample indices reach through jets
      for (int l = 0; l < T::width; ++l) {
        std::vector<double> f_l(C), y_l(C);
        problem.outputs(point.data(), static_cast<int>(index[l]), f_l.data());
        problem.targets(static_cast<int>(index[l]), y_l.data());
        for (std::size_t c = 0; c < C; ++c) {
          CHECK(test::near(f[c][l], f_l[c], 1e-14));
          CHECK(test::near(f_jets[c].v[l], f_l[c], 1e-14));
          CHECK(test::exact(y[c][l], y_l[c]));
        }
      }
      if constexpr (HasSampleGradient<P>) {
        std::vector<T> eps(C), g(d, T(0.25)), scratch(static_cast<std::size_t>(problem.scratch_size()));
        for (std::size_t c = 0; c < C; ++c) eps[c] = T(scatter(static_cast<int>(c)));
        problem.add_sample_gradient(x.data(), index, eps.data(), g.data(), scratch.data());
        std::vector<double> scratch_l(scratch.size()), eps_l(C);
        for (std::size_t c = 0; c < C; ++c) eps_l[c] = scatter(static_cast<int>(c));
        for (int l = 0; l < T::width; ++l) {
          std::vector<double> g_l(d, 0.25);  // the gradient is added
          problem.add_sample_gradient(point.data(), static_cast<int>(index[l]), eps_l.data(), g_l.data(),
                                      scratch_l.data());
          for (std::size_t j = 0; j < d; ++j) CHECK(test::near(g[j][l], g_l[j], 1e-13));
        }
      }
    }
  });
}
