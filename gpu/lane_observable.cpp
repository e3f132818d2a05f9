#include "slowsde/gpu/lane_observable.hpp"

#include <charconv>
#include <system_error>

namespace slowsde {

int observable_component(std::string_view name, std::string_view prefix) {
  int j = -1;
  if (!name.starts_with(prefix)) return -1;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  const auto parsed = std::from_chars(begin, end, j);
  return begin != end && parsed.ec == std::errc() && parsed.ptr == end && j >= 0 ? j : -1;
}

bool read_lane_observable(const std::string& name, LaneObservable& observable) {
  using Kind = LaneObservable::Kind;
  const int x = observable_component(name, "x"), log_x = observable_component(name, "log_x");
  if (x >= 0)
    observable = {Kind::component, x};
  else if (log_x >= 0)
    observable = {Kind::log_component, log_x};
  else if (name == "norm")
    observable = {Kind::norm, 0};
  else if (name == "angle")
    observable = {Kind::angle, 0};
  else if (name == "loss")
    observable = {Kind::loss, 0};
  else if (name == "trace")
    observable = {Kind::trace, 0};
  else
    return false;
  return true;
}

}  // namespace slowsde
