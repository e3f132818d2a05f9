#include "slowsde/sde/ito_sde.hpp"

#include <doctest/doctest.h>

#include "slowsde/problems/pack.hpp"
#include "tests/support/sde_examples.hpp"

using namespace slowsde;
using namespace slowsde::test;

namespace {

struct GradientFlow {
  static constexpr NoiseClass noise = NoiseClass::none;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 1; }
  void drift(const double* x, double, double* out) const { out[0] = -(x[0] * x[0] * x[0]); }
};
struct WithoutDiffusion : GradientFlow {
  static constexpr NoiseClass noise = NoiseClass::general;
};
struct WithoutCalculus {
  static constexpr NoiseClass noise = NoiseClass::none;
  int dim() const { return 1; }
  void drift(const double*, double, double*) const {}
};

static_assert(Sde<GradientFlow> && !Sde<GradientFlow, Pack<double>>);
static_assert(!Sde<WithoutDiffusion> && !Sde<WithoutCalculus>);
static_assert(Sde<GrowingOrnsteinUhlenbeck> && Sde<GrowingOrnsteinUhlenbeck, Pack<float>>);
static_assert(has_one_calculus<GradientFlow> && has_one_calculus<GrowingOrnsteinUhlenbeck> &&
              !has_one_calculus<GeometricBrownianMotion<>>);

}  // namespace

TEST_CASE("a diffusion is stored as d x m numbers, as d when it is diagonal and not at all without noise") {
  CHECK(diffusion_size(GradientFlow{}) == 0);
  CHECK(noise_dimension(GradientFlow{}) == 0);
  CHECK(diffusion_size(GeometricBrownianMotion<>{}) == 1);
  CHECK(diffusion_size(NonCommuting<>{}) == 4);
  CHECK(noise_dimension(NonCommuting<>{}) == 2);
}
