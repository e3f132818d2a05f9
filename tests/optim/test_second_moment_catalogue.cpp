#include "slowsde/optim/second_moment_catalogue.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "slowsde/optim/heavy_ball_moment.hpp"

using namespace slowsde;

TEST_CASE("every model of the catalogue is made under its own name") {
  CHECK(second_moment_catalogue().size() == 7);
  for (const CatalogueEntry& entry : second_moment_catalogue()) {
    CHECK(make_second_moment(entry.name)->name() == entry.name);
    CHECK(!entry.description.empty());
  }
}

TEST_CASE("laws of every model: symmetric, positive, SGD's limit at K = 1, growing with K") {
  const Round sgd{.eta = 1e-9};
  const Round two{.eta = 0.05, .local_steps = 20, .workers = 2},
      eight{.eta = 0.05, .local_steps = 20, .workers = 8};
  for (const CatalogueEntry& entry : second_moment_catalogue()) {
    const auto moment = make_second_moment(entry.name);
    CAPTURE(entry.name);
    for (double i : {0.0, 0.2, 1.0, 11.0})
      for (double j : {0.1, 1.0, 7.0}) {
        CHECK(std::abs(moment->coefficient(i, j, two) / moment->coefficient(j, i, two) - 1) <= 1e-13);
        CHECK(std::abs(moment->coefficient(i, j, sgd) * (i + j) - 1) <= 1e-7);
        CHECK(moment->coefficient(i, j, two) > 0);
        const bool grows = moment->coefficient(i, j, eight) > moment->coefficient(i, j, two);
        CHECK(grows == (entry.name != "sgd"));
      }
  }
}

TEST_CASE("options reach the model") {
  const auto moment = make_second_moment("heavy-ball", {.buffers = BufferPolicy::reset});
  CHECK(dynamic_cast<const HeavyBallMoment&>(*moment).buffers() == BufferPolicy::reset);
  const Round round{.eta = 0.1, .local_batch = 3};
  CHECK(make_second_moment("sampling", {.replacement = false})->sampling_weight(round, 5) == 0.5);
  CHECK(make_second_moment("sampling")->sampling_weight(round, 5) == 1);
}

TEST_CASE("an unknown name is refused with the list of known ones") {
  CHECK_THROWS_WITH_AS(
      make_second_moment("sdg"),
      "unknown second-moment model \"sdg\"; known: sgd, psi, qsr, finite-step, sampling, heavy-ball, "
      "effective-rate",
      std::invalid_argument);
}
