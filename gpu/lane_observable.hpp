// Observables of one state that a GPU thread can compute; the same functions run on the host.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "slowsde/problems/lane_loss.hpp"
#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/problem.hpp"

namespace slowsde {

struct LaneObservable {
  enum class Kind : std::uint8_t { component, log_component, norm, angle, loss, trace };
  Kind kind = Kind::component;
  int component = 0;
};

/// j of a name that is the prefix and the number j, as in "x0"; −1 for another name.
int observable_component(std::string_view name, std::string_view prefix);

/// Reads "x0", "log_x1", "norm", "angle", "loss", "trace"; false for what is not among them.
bool read_lane_observable(const std::string& name, LaneObservable& observable);

namespace detail {

using Lane = Pack<double, 1>;

template <class P>
concept ClosedTrace = requires(const P& problem, const Lane* theta) {
  { problem.trace_on_manifold(theta) } -> std::convertible_to<Lane>;
};

}  // namespace detail

/// Whether lane_observable can compute it for this problem.
template <Problem P>
constexpr bool has_lane_observable(const LaneObservable& observable) {
  return observable.kind != LaneObservable::Kind::trace || detail::ClosedTrace<P>;
}

/// |∇L| at a state.
template <Problem P>
SLOWSDE_HD double lane_gradient_norm(const P& problem, int samples, const detail::Lane* theta) {
  constexpr int d = static_dimension<P>();
  detail::Lane g[d], square(0.0);
  lane_gradient(problem, samples, theta, g);
  for (int j = 0; j < d; ++j) square = square + g[j] * g[j];
  return sqrt(square).v;
}

template <Problem P>
SLOWSDE_HD double lane_observable(const P& problem, int samples, const LaneObservable& observable,
                                  const detail::Lane* theta) {
  using Lane = detail::Lane;
  constexpr int d = static_dimension<P>();
  switch (observable.kind) {
    case LaneObservable::Kind::component:
    case LaneObservable::Kind::log_component: {
      Lane x(0.0);
      for (int j = 0; j < d; ++j)  // an index known at compile time keeps the state in registers
        if (j == observable.component) x = theta[j];
      return observable.kind == LaneObservable::Kind::component ? x.v : log(abs(x)).v;
    }
    case LaneObservable::Kind::norm: {
      Lane square(0.0);
      for (int j = 0; j < d; ++j) square = square + theta[j] * theta[j];
      return sqrt(square).v;
    }
    case LaneObservable::Kind::angle:
      if constexpr (d >= 2) return std::atan2(theta[1].v, theta[0].v);
      return 0;
    case LaneObservable::Kind::loss:
      return lane_loss(problem, samples, theta).v;
    case LaneObservable::Kind::trace:
      if constexpr (detail::ClosedTrace<P>) return problem.trace_on_manifold(theta).v;
      return 0;
  }
  return 0;
}

}  // namespace slowsde
