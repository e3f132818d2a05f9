#include "slowsde/gpu/lane_observable.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/gradient.hpp"
#include "slowsde/problems/sphere.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/user_valley.hpp"
#include "slowsde/problems/valley.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using slowsde::detail::Lane;
using test::near_relative;

namespace {

template <class P>
int samples_of(const P& problem) {
  if constexpr (LeastSquaresProblem<P>)
    return problem.samples();
  else
    return 1;
}

/// A problem that gives nothing but its loss.
struct Bowl {
  static constexpr int dim = 2;
  template <class T>
  T loss(const T* x) const {
    return x[0] * x[0] + x[1] * x[1];
  }
};

/// What a thread computes at θ against plain double precision.
template <class P>
void check_observables(const P& problem, const std::vector<double>& theta) {
  constexpr int d = P::dim;
  Lane x[d];
  for (int j = 0; j < d; ++j) x[j] = Lane(theta[static_cast<std::size_t>(j)]);
  const auto value = [&](const std::string& name) {
    LaneObservable observable;
    REQUIRE(read_lane_observable(name, observable));
    REQUIRE(has_lane_observable<P>(observable));
    return lane_observable(problem, samples_of(problem), observable, x);
  };
  double square = 0;
  for (int j = 0; j < d; ++j) {
    const double of_j = theta[static_cast<std::size_t>(j)];
    square += of_j * of_j;
    CHECK(value(fmt::format("x{}", j)) == of_j);
    CHECK(near_relative(value(fmt::format("log_x{}", j)), std::log(std::abs(of_j)), 1e-14));
  }
  CHECK(near_relative(value("norm"), std::sqrt(square), 1e-15));
  CHECK(near_relative(value("angle"), std::atan2(theta[1], theta[0]), 1e-15));
  CHECK(near_relative(value("loss"), loss(problem, theta.data()), 1e-13));
  CHECK(near_relative(value("trace"), problem.trace_on_manifold(theta.data()), 1e-13));
  std::vector<double> g(theta.size());
  gradient(problem, theta.data(), g.data());
  double norm = 0;
  for (const double c : g) norm += c * c;
  CHECK(near_relative(lane_gradient_norm(problem, samples_of(problem), x), std::sqrt(norm), 1e-12));
}

}  // namespace

TEST_CASE("a thread's observables are those of the CPU") {
  check_observables(Valley{}, {1.2, -0.4});
  check_observables(UserValley<SineSteepness>{}, {-0.7, 0.3});
  check_observables(TwoValleys<1>{}, {0.5, 0.2, -0.1});
  check_observables(TwoValleys<2>{}, {0.5, 0.2, -0.1});
  check_observables(Circle{}, {0.8, 0.9});
  check_observables(Sphere<3>{}, {0.8, 0.9, -0.3});
  check_observables(Ellipsoid<2>{}, {0.8, 0.2});
}

TEST_CASE("names are read as the CPU reads them, and others are left to it") {
  LaneObservable observable;
  CHECK(read_lane_observable("log_x12", observable));
  CHECK(observable.kind == LaneObservable::Kind::log_component);
  CHECK(observable.component == 12);
  for (const char* other : {"", "x", "x-1", "x1a", "lambda_max", "residual", "log_x", "logx0"})
    CHECK(!read_lane_observable(other, observable));
}

TEST_CASE("a problem without a closed trace has none on the device") {
  CHECK(!has_lane_observable<Bowl>({LaneObservable::Kind::trace, 0}));
  CHECK(has_lane_observable<Bowl>({LaneObservable::Kind::loss, 0}));
}
