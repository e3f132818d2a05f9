#include "slowsde/gpu/displacement.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

using slowsde::displaced;
using slowsde::LossHalves;
using slowsde::part_of_displacement;

namespace {

/// The nearest number of 8 bits, of two equally near ones the even.
float bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u);
}

float exact(float x) { return x; }

/// Two ranks of two workers and of one, around a shared start.
template <class Real>
struct Round {
  static constexpr int workers = 3, own[2] = {2, 1};
  Real start;
  Real worker[workers];

  double sum(int rank) const {
    return rank == 0 ? static_cast<double>(worker[0]) + static_cast<double>(worker[1])
                     : static_cast<double>(worker[2]);
  }
  double mean() const { return (sum(0) + sum(1)) / workers; }

  template <class Payload>
  Real by_displacement(Payload payload) const {
    float total = 0;
    for (const int rank : {0, 1})
      total = payload(total + payload(part_of_displacement(sum(rank), own[rank], workers, start)));
    return displaced(start, total);
  }
  /// What the displacement is for: the average itself in the payload.
  template <class Payload>
  Real by_average(Payload payload) const {
    float total = 0;
    for (const int rank : {0, 1}) total = payload(total + payload(static_cast<float>(sum(rank) / workers)));
    return static_cast<Real>(total);
  }
};

/// Rounds whose workers go up to 2·size·|start| from it, all to one side.
template <class Real>
std::vector<Round<Real>> rounds_of(double size) {
  std::mt19937_64 words(5);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * std::ldexp(static_cast<double>(words() >> 11), -53);
  };
  std::vector<Round<Real>> rounds(2000);
  for (Round<Real>& round : rounds) {
    const double sign = uniform(-1, 1) < 0 ? -1 : 1, side = uniform(-1, 1) < 0 ? -1 : 1;
    round.start = static_cast<Real>(sign * std::exp2(uniform(-8, 8)));
    for (Real& x : round.worker)
      x = static_cast<Real>(static_cast<double>(round.start) * (1 + side * size * uniform(0.5, 2)));
  }
  return rounds;
}

template <class Real>
void check_survival(double size) {
  double worst = 0, worst_of_average = 0;
  for (const Round<Real>& round : rounds_of<Real>(size)) {
    const double update = round.mean() - static_cast<double>(round.start);
    const auto error = [&](Real end) {
      return std::abs(static_cast<double>(end) - round.mean()) / std::abs(update);
    };
    worst = std::max(worst, error(round.by_displacement(bf16)));
    worst_of_average = std::max(worst_of_average, error(round.by_average(bf16)));
  }
  // Each part is rounded by at most 2^-8 of it and their sum by as much again; the rest is the rounding of
  // the parameter to its own precision, an ulp of which is 2^-23 of it.
  const double own = std::is_same_v<Real, float> ? 0x1p-23 / (0.5 * size) : 0;
  CAPTURE(size);
  CAPTURE(worst);
  CHECK(worst <= 1.01 * 2 * 0x1p-8 + own);
  CHECK(worst >= 0x1p-8);  // the payload does have 8 bits
  CHECK(worst_of_average >= 0.25 * 0x1p-8 / size);
}

}  // namespace

TEST_CASE_TEMPLATE("of a round's update 8 bits survive in bfloat16, however small it is", Real, float,
                   double) {
  check_survival<Real>(1e-2);
  check_survival<Real>(1e-3);
  check_survival<Real>(1e-4);
  if (std::is_same_v<Real, double>) check_survival<Real>(1e-9);  // below an ulp of a float
}

TEST_CASE_TEMPLATE("an exact payload gives the mean, and no displacement the start", Real, float, double) {
  for (const Round<Real>& round : rounds_of<Real>(1e-3)) {
    const auto mean = static_cast<double>(round.by_displacement(exact));
    CHECK(std::abs(mean - round.mean()) <= 0x1p-23 * std::abs(round.mean()));
  }
  for (Round<Real> round : rounds_of<Real>(1)) {
    for (Real& x : round.worker) x = round.start;
    CHECK(round.by_displacement(bf16) == round.start);
  }
}

TEST_CASE("a loss in two floats has 48 bits, and single precision once summed; what is not finite stays so") {
  const double losses[] = {0.1, 2.302585092994046, 1234.5678901234567};
  float sums[LossHalves::count] = {0, 0};
  double exact = 0;
  for (const double loss : losses) {
    const LossHalves halves(loss);
    CHECK(std::abs(halves.sum() - loss) <= 0x1p-47 * loss);
    CHECK(std::abs(static_cast<double>(halves.values[0]) - loss) > 0x1p-40 * loss);  // one float would not do
    for (std::size_t i = 0; i < LossHalves::count; ++i) sums[i] += halves.values[i];
    exact += loss;
  }
  LossHalves sum(0);
  std::copy(sums, sums + LossHalves::count, sum.values);
  CHECK(std::abs(sum.sum() - exact) <= 0x1p-22 * exact);
  CHECK(!std::isfinite(LossHalves(std::numeric_limits<double>::quiet_NaN()).sum()));
  CHECK(!std::isfinite(LossHalves(std::numeric_limits<double>::infinity()).sum()));
}
