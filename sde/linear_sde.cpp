#include "slowsde/sde/linear_sde.hpp"

#include <stdexcept>

namespace slowsde {

double extrapolated_order(const std::vector<double>& errors) {
  const std::size_t n = errors.size();
  if (n < 3) throw std::invalid_argument("an order needs three errors");
  const auto exponent = [&](std::size_t l) { return std::log2(errors[l - 1] / errors[l]); };
  return 2 * exponent(n - 1) - exponent(n - 2);
}

namespace detail {

std::array<std::array<double, 2>, 5> gauss_hermite() {
  // Nodes 0, ±√(5 ∓ √10) with weights 8/15, (7 ± 2√10)/60.
  const double root10 = std::sqrt(10.0), inner = std::sqrt(5 - root10), outer = std::sqrt(5 + root10);
  const double w_inner = (7 + 2 * root10) / 60, w_outer = (7 - 2 * root10) / 60;
  return {{{0, 8.0 / 15}, {inner, w_inner}, {-inner, w_inner}, {outer, w_outer}, {-outer, w_outer}}};
}

}  // namespace detail
}  // namespace slowsde
