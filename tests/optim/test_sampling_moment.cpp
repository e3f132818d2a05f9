#include "slowsde/optim/sampling_moment.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace slowsde;

TEST_CASE("the feedback of sampling has weight 1 with replacement") {
  CHECK(SamplingMoment().sampling_weight({.eta = 0.1, .local_batch = 7}, 5) == 1);
}

TEST_CASE("without replacement the weight is (n − B_loc)/(n − 1), so that a full batch has none") {
  const SamplingMoment moment(false);
  CHECK(moment.sampling_weight({.eta = 0.1, .local_batch = 1}, 5) == 1);
  CHECK(moment.sampling_weight({.eta = 0.1, .local_batch = 3}, 5) == 0.5);
  CHECK(moment.sampling_weight({.eta = 0.1, .local_batch = 5}, 5) == 0);
  CHECK(moment.sampling_weight({.eta = 0.1, .local_batch = 1}, 1) == 0);
  CHECK_THROWS_WITH_AS(moment.sampling_weight({.eta = 0.1, .local_batch = 6}, 5),
                       "sampling without replacement: local_batch <= samples is violated by 6 > 5",
                       std::invalid_argument);
  CHECK_THROWS_AS(moment.sampling_weight({.eta = 0.1}, 0), std::invalid_argument);
}

TEST_CASE("without feedback the coefficients are the finite-step ones") {
  const Round round{.eta = 0.1, .local_steps = 10, .workers = 4, .local_batch = 2};
  CHECK(SamplingMoment().coefficient(0.5, 3, round) == FiniteStepMoment().coefficient(0.5, 3, round));
  CHECK(FiniteStepMoment().sampling_weight(round, 5) == 0);
}
