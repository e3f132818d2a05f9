// A theory of its own, made from the package's headers and checked by the package's library.
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "slowsde/sde/second_moment.hpp"

namespace {

class Isotropic : public slowsde::SecondMoment {
 public:
  std::string_view name() const override { return "isotropic"; }
  double coefficient(double lambda_i, double lambda_j, const slowsde::Round&) const override {
    return 1 / (lambda_i + lambda_j);
  }
};

}  // namespace

int main() {
#ifdef __FAST_MATH__
#error "slowsde's arithmetic does not hold with -ffast-math"
#endif
  const Isotropic theory;
  slowsde::Round round;
  round.eta = 0.1;
  round.check();  // from the library
  if (std::abs(theory.coefficient(1, 3, round) - 0.25) > 1e-15) return 1;
  round.eta = -1;
  try {
    round.check();
  } catch (const std::invalid_argument& error) {
    std::printf("%.*s: %s\n", static_cast<int>(theory.name().size()), theory.name().data(), error.what());
    return 0;
  }
  return 1;
}
