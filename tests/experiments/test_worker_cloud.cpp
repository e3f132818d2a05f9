#include "slowsde/experiments/worker_cloud.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/replaced.hpp"
#include "tests/support/run_config.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

const std::string base = R"(kind = "worker-cloud"
[noise]
sigma = 0.003
[algorithm]
workers = 4
lr = 0.05
local_steps = 8
[run]
replicas = 160
warm_rounds = 150
rounds = 100
)";

constexpr std::size_t quantities = 4, steps = 9;

/// The largest distance in standard errors of a measured moment from column `theory` of `predicted`, whose
/// values at step h are taken from step h + shift.
double farthest(const Result& measured, const Result& predicted, const std::string& kind, std::size_t theory,
                std::size_t shift = 0) {
  const std::vector<double>&mean = measured.variable(kind).data, &se = measured.variable(kind + "_se").data,
        &theirs = predicted.variable(kind + "_predicted").data;
  double z = 0;
  for (std::size_t h = 1; h + shift < steps; ++h)
    for (std::size_t q = 0; q < quantities; ++q) {
      const std::size_t at = h * quantities + q;
      z = std::max(
          z, test::zscore(mean[at], theirs[theory * steps * quantities + at + shift * quantities], se[at]));
    }
  return z;
}

}  // namespace

// 64 comparisons, |z| <= 4.5 in each: a false alarm in 2,300 seeds at the most
TEST_CASE("own and cross moments inside a round are those of theory with sampling") {
  const Result result = test::run_config(base, 2);
  CHECK(result.replicas == 160);
  CHECK(result.diverged == 0);
  for (const char* kind : {"own", "cross"}) {
    CAPTURE(std::string(kind));
    CHECK(farthest(result, result, kind, 0) <= 4.5);
    CHECK(farthest(result, result, kind, 1) >= 5);  // without sampling
    CHECK(std::isnan(result.variable(kind).data[0]));
  }
  CHECK(farthest(result, result, "own", 0, 1) >= 5);  // one step late
  const Result more = test::run_config(
      test::replaced(test::replaced(base, "workers = 4", "workers = 5"), "\nrounds = 100", "\nrounds = 1"));
  CHECK(farthest(result, more, "own", 0) >= 5);  // K + 1 workers
  CHECK(farthest(result, more, "cross", 0) >= 5);
}

TEST_CASE("the results do not depend on the number of threads") {
  const std::string text = test::replaced(test::replaced(base, "warm_rounds = 150", "warm_rounds = 1"),
                                          "\nrounds = 100", "\nrounds = 3");
  const Result one = test::run_config(text, 1), three = test::run_config(text, 3);
  for (const Variable& v : one.variables) {
    CAPTURE(v.name);
    const std::vector<double>& other = three.variable(v.name).data;
    REQUIRE(v.data.size() == other.size());
    for (std::size_t i = 0; i < other.size(); ++i)
      CHECK((v.data[i] == other[i] || (std::isnan(v.data[i]) && std::isnan(other[i]))));
  }
}

TEST_CASE("what can not be is refused with the key's name") {
  const auto message_of = [](const std::string& text) {
    try {
      test::run_config(text);
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const auto& [from, to, words] : std::vector<std::array<std::string, 3>>{
           {"workers = 4", "workers = 1", "workers"},
           {"sigma = 0.003", "sigma = 0", "sigma"},
           {"lr = 0.05", "lr = -1", "lr"},
           {"lr = 0.05", "lr = 0.9", "no stationary round"},
           {"[noise]", "[network]\nwidths = [8]\n[noise]", "widths"},
           {"[noise]", "[network]\nsamples = 200\n[noise]", "nothing is interpolated"},
           {"rounds = 100", "rounds = 0", "rounds"},
           {"rounds = 100", "rounds = 100\nturns = 3", "turns"}}) {
    CAPTURE(to);
    const std::string text = from == "rounds = 100" ? test::replaced(base, "\nrounds = 100", "\n" + to)
                                                    : test::replaced(base, from, to);
    CHECK(message_of(text).find(words) != std::string::npos);
  }
}
