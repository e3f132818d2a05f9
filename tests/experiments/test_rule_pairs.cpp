#include "slowsde/experiments/rule_pairs.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;
using test::near;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Five replicas with common noise of size 10 and differences `gap` + {−2, −1, 0, 1, 2}·s: SE = s/√2.
PairComparison planted(double predicted, double gap, double s = 0.1) {
  const RuleOutcome first{predicted, {gap - 2 * s, 10 + gap - s, -10 + gap, 7 + gap + s, gap + 2 * s}};
  const RuleOutcome second{0, {0, 10, -10, 7, 0}};
  return compare_pair(first, second);
}

}  // namespace

TEST_CASE("a gap is the mean of the replicas' differences, with its standard error") {
  const PairComparison pair = planted(3, 2);
  CHECK(near(pair.measured_gap, 2, 1e-12));
  CHECK(pair.predicted_gap == 3);
  CHECK(near(pair.se, 0.1 / std::sqrt(2.0), 1e-12));
  CHECK(near(pair.half_width, 2.7764451051977987 * pair.se, 1e-9));
  CHECK(pair.replicas == 5);
}

TEST_CASE(
    "a pair is decided where the predicted gap exceeds 5 SE, and then by the sign of the measured one") {
  const double five_se = 5 * 0.1 / std::sqrt(2.0);
  CHECK(planted(1.01 * five_se, 0.5).verdict == PairVerdict::ordered);
  CHECK(planted(-1.01 * five_se, -0.5).verdict == PairVerdict::ordered);
  CHECK(planted(1.01 * five_se, -0.5).verdict == PairVerdict::contradicted);
  CHECK(planted(-1.01 * five_se, 0.5).verdict == PairVerdict::contradicted);
  // the right sign is not enough where the interval holds 0
  CHECK(planted(1.01 * five_se, 0.15).verdict == PairVerdict::contradicted);
  CHECK(planted(1.01 * five_se, 0.25).verdict == PairVerdict::ordered);
}

TEST_CASE("without a predicted gap a pair is a tie, unless a gap is measured that nothing predicts") {
  const double five_se = 5 * 0.1 / std::sqrt(2.0);
  CHECK(planted(0, 0).verdict == PairVerdict::tie);
  CHECK(planted(0.99 * five_se, 0.99 * five_se).verdict == PairVerdict::tie);
  CHECK(planted(0, 0.99 * five_se).verdict == PairVerdict::tie);
  CHECK(planted(0, 1.01 * five_se).verdict == PairVerdict::unpredicted);
  CHECK(planted(0, -1.01 * five_se).verdict == PairVerdict::unpredicted);
  CHECK(planted(0.9 * five_se, 1.1 * five_se).verdict == PairVerdict::tie);  // the two agree
}

TEST_CASE("diverged replicas are left out of both sides") {
  const PairComparison pair = compare_pair({5, {1, not_a_number, 3, 4}}, {0, {0, 0, not_a_number, 3.5}});
  CHECK(pair.replicas == 2);
  CHECK(near(pair.measured_gap, 0.75, 1e-12));
  CHECK(compare_pair({5, {1, not_a_number}}, {0, {not_a_number, 2}}).verdict == PairVerdict::unknown);
  CHECK(compare_pair({5, {1}}, {0, {0}}).verdict == PairVerdict::unknown);
}

TEST_CASE("a run is a tie with itself, and what does not vary is not judged") {
  CHECK(compare_pair({5, {1, 2, 3}}, {5, {1, 2, 3}}).verdict == PairVerdict::tie);
  CHECK(compare_pair({5, {1, 2, 3}}, {4, {1, 2, 3}}).verdict == PairVerdict::unknown);
  CHECK(compare_pair({not_a_number, {1, 2, 3}}, {4, {1, 2, 5}}).verdict == PairVerdict::unknown);
}

TEST_CASE("what can not be compared is refused") {
  CHECK_THROWS_AS(compare_pair({0, {1, 2}}, {0, {1}}), std::invalid_argument);
  CHECK_THROWS_AS(compare_pair({0, {1, 2}}, {0, {1, 2}}, 0), std::invalid_argument);
  CHECK(std::isnan(student_quantile(0)));
  CHECK(near(student_quantile(15), 2.131449545559323, 1e-9));
}
