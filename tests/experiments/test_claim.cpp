#include "slowsde/experiments/claim.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Right to 1 SE, with power: effect 10 SE, one rival 8 SE away.
Comparison good() {
  return {.quantity = "q",
          .prediction = "p",
          .measured = {1.1, 0.1, 100},
          .predicted = Measured::exact(1),
          .effect = 1,
          .least_n = 100,
          .rivals = {{"wrong", Measured::exact(0.3)}}};
}

constexpr double critical = 4;
Verdict verdict_of(const Comparison& c) { return judge(c, critical).verdict; }

}  // namespace

TEST_CASE("a prediction within the critical errors is confirmed when wrong theories would have been seen") {
  const Judgement j = judge(good(), critical);
  CHECK(j.verdict == Verdict::confirmed);
  CHECK(j.reason.empty());
  CHECK(test::near(j.z, 1, 1e-9));
  REQUIRE(j.rivals.size() == 1);
  CHECK(test::near(j.rivals[0], 8, 1e-9));
}

TEST_CASE("a prediction further away than the critical errors is refuted, whatever the power") {
  Comparison c = good();
  c.measured.mean = 1.41;
  CHECK(verdict_of(c) == Verdict::refuted);
  c.measured.mean = 1.39;
  CHECK(verdict_of(c) == Verdict::confirmed);
  c.measured.mean = 0.5;
  c.measured.n = 1;
  CHECK(verdict_of(c) == Verdict::refuted);
}

TEST_CASE("what cannot tell a wrong theory is inconclusive, never confirmed") {
  SUBCASE("too few replicas") {
    Comparison c = good();
    c.measured.n = 99;
    CHECK(verdict_of(c) == Verdict::inconclusive);
  }
  SUBCASE("an error above a fifth of the effect") {
    Comparison c = good();
    c.effect = 0.49;
    CHECK(verdict_of(c) == Verdict::inconclusive);
    for (const double nothing : {0.0, -1.0}) {  // predictions without an effect, or of one the other way
      c.effect = nothing;
      CHECK(verdict_of(c) == Verdict::inconclusive);
    }
    c.measured = c.predicted;  // without any error
    c.least_n = 0;
    CHECK(verdict_of(c) == Verdict::inconclusive);
  }
  SUBCASE("the error of a simulated prediction counts") {
    Comparison c = good();
    c.predicted.se = 0.2;
    CHECK(verdict_of(c) == Verdict::inconclusive);
  }
  SUBCASE("a wrong theory nearer than five errors") {
    Comparison c = good();
    c.rivals.push_back({"near", Measured::exact(0.61)});
    const Judgement j = judge(c, critical);
    CHECK(j.verdict == Verdict::inconclusive);
    CHECK(j.reason.find("'near'") != std::string::npos);
  }
  SUBCASE("a wrong theory that predicts nothing finite") {
    Comparison c = good();
    c.rivals.push_back({"broken", Measured::exact(not_a_number)});
    CHECK(verdict_of(c) == Verdict::inconclusive);
  }
}

TEST_CASE("a value that is not finite refutes") {
  for (const double broken : {not_a_number, std::numeric_limits<double>::infinity()}) {
    Comparison c = good();
    c.measured.mean = broken;
    CHECK(verdict_of(c) == Verdict::refuted);
    c = good();
    c.measured.se = broken;
    CHECK(verdict_of(c) == Verdict::refuted);
    c = good();
    c.predicted.mean = broken;
    CHECK(verdict_of(c) == Verdict::refuted);
  }
  Moments diverged;
  for (const double x : {1.0, 2.0, not_a_number}) diverged.add(x);
  CHECK(std::isnan(Measured::of(diverged).mean));
}

TEST_CASE("an equivalence is confirmed by an interval within the margin, refuted by one outside of it") {
  Comparison c = good();
  c.predicted = Measured::exact(0);
  c.margin = 0.5;
  c.measured = {0.05, 0.1, 100};                  // -0.35 ... 0.45
  CHECK(verdict_of(c) == Verdict::inconclusive);  // the rival at 0.3
  c.rivals = {
      {"wrong", Measured::exact(1.06)}};  // its interval of 5 SE begins at 0.51 from what was measured
  CHECK(verdict_of(c) == Verdict::confirmed);
  c.rivals = {{"within the margin", Measured::exact(1.04)}};
  CHECK(verdict_of(c) == Verdict::inconclusive);
  c.rivals = {{"wrong", Measured::exact(2)}};
  c.measured.mean = 0.2;  // reaches 0.6
  CHECK(verdict_of(c) == Verdict::inconclusive);
  c.measured.mean = 0.95;  // begins at 0.55
  CHECK(verdict_of(c) == Verdict::refuted);
}

TEST_CASE("a comparison that was not at risk is an error of the program") {
  Comparison c = good();
  c.rivals.push_back({"another", Measured::exact(2)});
  CHECK_NOTHROW(require_risk("claim", c));
  const auto refused = [&](auto change) {
    Comparison changed = c;
    change(changed);
    CHECK_THROWS_AS(require_risk("claim", changed), std::logic_error);
  };
  refused([](Comparison& x) { x.least_n = 0; });
  refused([](Comparison& x) { x.rivals.pop_back(); });
  c.measured = Measured::exact(1);  // nothing was drawn
  c.least_n = 0;
  CHECK_NOTHROW(require_risk("claim", c));
}

TEST_CASE("the exponent of an error, of either sign, and none where the sign changes") {
  const auto at = [](double h) { return Measured{-3 * h * h, 0.03 * h * h, 10}; };
  const Measured slope = exponent({0.4, 0.2, 0.1}, {at(0.4), at(0.2), at(0.1)});
  CHECK(test::near(slope.mean, 2, 1e-12));
  CHECK(test::near(slope.se, 0.01 / (std::sqrt(2.0) * std::log(2.0)), 1e-12));
  // errors whose relative parts go up and down together leave the slope alone
  const std::vector<double> h = {0.4, 0.1}, as_one = {1, 1, 1, 1}, half = {1, 0.5, 0.5, 1};
  const Measured together = exponent(h, {at(0.4), at(0.1)}, as_one);
  CHECK(test::near(together.mean, 2, 1e-12));
  CHECK(std::abs(together.se) < 1e-8);
  CHECK(test::near(exponent(h, {at(0.4), at(0.1)}, half).se, 0.01 / std::log(4.0), 1e-12));
  const auto judged = [](double first, double first_se, double second, double second_se) {
    Comparison c;
    c.measured = exponent({0.4, 0.1}, {Measured{first, first_se, 10}, Measured{second, second_se, 10}});
    c.predicted = Measured::exact(1);
    c.effect = 0.5;
    c.margin = 0.25;
    c.least_n = 10;
    c.rivals = {{"0", Measured::exact(0)}, {"2", Measured::exact(2)}};
    REQUIRE(std::isfinite(c.measured.mean));
    REQUIRE(std::isfinite(c.measured.se));
    return judge(c, 4).verdict;
  };
  CHECK(judged(0.4, 0.004, 0.1, 0.001) == Verdict::confirmed);
  CHECK(judged(0.4, 0.004, -0.1, 0.001) == Verdict::refuted);
  CHECK(judged(-0.4, 0.004, 0.1, 0.001) == Verdict::refuted);
  CHECK(judged(0.4, 0.004, -0.001, 0.1) == Verdict::inconclusive);
  CHECK(judged(0.4, 0.004, 0.001, 0.1) == Verdict::inconclusive);
  CHECK(std::isnan(exponent({0.4, 0.2}, {at(std::nan("")), at(0.2)}).mean));
}

TEST_CASE("the critical z shares the false alarms among the comparisons") {
  CHECK(test::near(critical_z(0.05, 1), 1.959963985, 1e-8));
  CHECK(test::near(critical_z(1e-3, 20), 4.055626981, 1e-8));
  CHECK(critical_z(1e-3, 40) > critical_z(1e-3, 20));
}

TEST_CASE("combinations of measurements carry their errors, extrapolations remove their order") {
  const Measured a{1, 0.3, 10}, b{2, 0.4, 20};
  CHECK(test::near((a - b).mean, -1, 1e-15));
  CHECK(test::near((a + b).se, 0.5, 1e-15));
  CHECK((a + b).n == 10);
  CHECK(((a - Measured::exact(1)).n == 10));
  const auto linear = [](double h) { return Measured::exact(3 + 2 * h); };
  CHECK(test::near(extrapolate(linear(0.2), linear(0.1)).mean, 3, 1e-14));
  const auto quadratic = [](double h) { return Measured::exact(3 + 2 * h - 5 * h * h); };
  CHECK(test::near(extrapolate(quadratic(0.4), quadratic(0.2), quadratic(0.1)).mean, 3, 1e-14));
  CHECK(!(std::abs(extrapolate(quadratic(0.2), quadratic(0.1)).mean - 3) <= 1e-3));
}

TEST_CASE("every measurement has a seed of its own, from the claim's name and the suite's seed") {
  std::set<std::uint64_t> seeds;
  for (const char* claim : {"a", "b", "ab"})
    for (const std::uint64_t seed : {0u, 1u, 2u}) {
      ClaimRun run(claim, seed, Effort::quick, 1);
      for (int i = 0; i < 5; ++i) seeds.insert(run.next_seed());
    }
  CHECK(seeds.size() == 45);
  ClaimRun first("a", 1, Effort::quick, 1), again("a", 1, Effort::full, 2);
  CHECK(first.next_seed() == again.next_seed());
  CHECK(first.replicas(100) == 100);
  CHECK(again.replicas(100) == 400);
}

TEST_CASE("few values have an error that allows for Student's t, many the plain one") {
  const auto alternating = [](int n) {
    Moments moments;
    for (int k = 0; k < n; ++k) moments.add(k % 2 == 0 ? 1 : -1);
    return moments;
  };
  // t_15 and the normal distribution at 1 − 1e-5: 6.109 and 4.265 on a side
  const double few = Measured::of_few(alternating(16)).se / Measured::of(alternating(16)).se;
  CHECK(test::near(few, 6.109 / 4.265, 1e-3));
  const double many = Measured::of_few(alternating(20000)).se / Measured::of(alternating(20000)).se;
  CHECK(test::near(many, 1, 1e-3));
  Moments diverged = alternating(16);
  diverged.add(not_a_number);
  CHECK(!std::isfinite(Measured::of_few(diverged).se));
}
