#include "slowsde/sde/second_moment.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using slowsde::Round;

TEST_CASE("a round names the violated inequality") {
  Round round{.eta = 0.1};
  CHECK_NOTHROW(round.check());
  round.local_steps = 0;
  CHECK_THROWS_WITH_AS(round.check(), "round: local_steps >= 1 is violated by 0", std::invalid_argument);
  round = {.eta = -1};
  CHECK_THROWS_WITH_AS(round.check(), "round: eta > 0 is violated by -1", std::invalid_argument);
  round = {.eta = 0.1, .momentum = 1};
  CHECK_THROWS_WITH_AS(round.check(), "round: 0 <= momentum < 1 is violated by 1", std::invalid_argument);
}

TEST_CASE("the global batch is K times the local batch") {
  CHECK(Round{.eta = 0.1, .workers = 4, .local_batch = 2}.global_batch() == 8);
}
