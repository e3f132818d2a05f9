#include <array>

#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/two_valleys.hpp"
#include "slowsde/problems/user_valley.hpp"
#include "slowsde/problems/valley.hpp"

namespace slowsde {
namespace {

/// a(x) = mean + amplitude·sin x from keys with a prefix.
SineSteepness read_sine(ConfigTable& table, const std::string& prefix, SineSteepness sine) {
  sine.mean = table.get<double>(prefix + "mean", sine.mean);
  sine.amplitude = table.get<double>(prefix + "amplitude", sine.amplitude);
  sine.check();
  return sine;
}

template <int Samples>
TwoValleys<Samples> read_two_valleys(ConfigTable& table) {
  const TwoValleys<Samples> standard;
  const SineSteepness first = read_sine(table, "first_", standard.a1);
  return TwoValleys<Samples>(first, read_sine(table, "second_", standard.a2));
}

}  // namespace

void add_valley_problems(Registry& registry) {
  add_problem<Valley>(registry, "valley", "f = sqrt(1+x^2) y: the smallest problem with a slow drift", {},
                      kernels_of<Valley>());
  add_problem<UserValley<SineSteepness>>(
      registry, "sine-valley", "f = sqrt(a(x)) y with a = mean + amplitude sin x",
      [](ConfigTable& table) { return UserValley<SineSteepness>(read_sine(table, "", {})); },
      kernels_of<UserValley<SineSteepness>>());
  add_problem<UserValley<QuadraticSteepness>>(
      registry, "quadratic-valley", "f = sqrt(a(x)) y with a = base + curvature x^2",
      [](ConfigTable& table) {
        QuadraticSteepness a;
        a.base = table.get<double>("base", a.base);
        a.curvature = table.get<double>("curvature", a.curvature);
        return UserValley<QuadraticSteepness>(a);
      },
      kernels_of<UserValley<QuadraticSteepness>>());
  add_problem<TwoValleys<2>>(registry, "two-valleys",
                             "two eigenvalues whose sum is constant: two samples, one output",
                             read_two_valleys<2>, kernels_of<TwoValleys<2>>());
  add_problem<TwoValleys<1>>(registry, "two-valleys-outputs", "the same with one sample of two outputs",
                             read_two_valleys<1>, kernels_of<TwoValleys<1>>());
  add_problem<CurvedValley<>>(
      registry, "curved-valley",
      "L = a(x)(y - b(x))^2/2, b = curvature x^2/2, with a constant full covariance",
      [](ConfigTable& table) {
        const auto sigma = table.list<double>("covariance", std::vector<double>{1.0, 0.6, 0.6, 0.8});
        table.check("covariance", sigma.size() == 4, "must have 4 entries, a 2 x 2 matrix by rows");
        ParabolicFloor floor;
        floor.curvature = table.get<double>("curvature", floor.curvature);
        table.checked("curvature", [&] { floor.check(); });
        return table.checked("covariance", [&] {
          return CurvedValley<>(std::array<double, 4>{sigma[0], sigma[1], sigma[2], sigma[3]}, {}, floor);
        });
      },
      kernels_of<CurvedValley<>>());
}

}  // namespace slowsde
