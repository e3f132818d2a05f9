#include "slowsde/optim/update_rule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/tolerance.hpp"

using namespace slowsde;

namespace {

using Parameters = std::map<std::string, double, std::less<>>;

std::shared_ptr<const UpdateRule> rule_of(std::string_view name, const Parameters& given = {}) {
  return make_update_rule(name, [&](std::string_view key, double fallback) {
    const auto at = given.find(key);
    return at == given.end() ? fallback : at->second;
  });
}

/// L = ½ Σ_j h_j θ_j² with as many components as force the vector loop and its remainder.
constexpr std::size_t d = 37;

double curvature(std::size_t j) { return 0.1 + 0.07 * static_cast<double>(j); }
double start(std::size_t j) { return std::sin(1.0 + static_cast<double>(j)); }
double rate(int k) { return 0.2 / (1 + k); }

template <class Real>
std::vector<Real> run(const UpdateRule& rule, int steps) {
  std::vector<Real> theta(d), g(d), state(d * static_cast<std::size_t>(rule.state_vectors()));
  for (std::size_t j = 0; j < d; ++j) theta[j] = static_cast<Real>(start(j));
  for (int k = 0; k < steps; ++k) {
    for (std::size_t j = 0; j < d; ++j) g[j] = static_cast<Real>(curvature(j)) * theta[j];
    rule.step(rate(k), k + 1, d, g.data(), theta.data(), state.data());
  }
  return theta;
}

/// The largest difference to a recursion of one component that is written out by hand.
template <class Hand>
double error(const UpdateRule& rule, Hand hand) {
  constexpr int steps = 25;
  const std::vector<double> theta = run<double>(rule, steps);
  double worst = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double e = std::abs(theta[j] - hand(start(j), curvature(j), steps));
    worst = e <= worst ? worst : e;  // NaN wins
  }
  return worst;
}

}  // namespace

TEST_CASE("SGD is theta - eta (g + lambda theta), and on a quadratic a product") {
  for (const double lambda : {0.0, 0.3})
    CHECK(error(*rule_of("sgd", {{"weight_decay", lambda}}), [&](double x, double h, int steps) {
            double factor = 1;
            for (int k = 0; k < steps; ++k) factor *= 1 - rate(k) * (h + lambda);
            return factor * x;
          }) <= 1e-14);
}

TEST_CASE("heavy ball is v <- beta v + g, theta <- theta - eta v") {
  for (const double lambda : {0.0, 0.3})
    CHECK(error(*rule_of("heavy-ball", {{"momentum", 0.8}, {"weight_decay", lambda}}),
                [&](double x, double h, int steps) {
                  double v = 0;
                  for (int k = 0; k < steps; ++k) {
                    v = 0.8 * v + (h + lambda) * x;
                    x -= rate(k) * v;
                  }
                  return x;
                }) <= 1e-14);
}

TEST_CASE("heavy ball at constant rate follows x_{k+1} = (1 + beta - eta h) x_k - beta x_{k-1}") {
  const auto rule = rule_of("heavy-ball", {{"momentum", 0.5}});
  const double eta = 0.1, h = 2;
  double x = 1, v = 0, before = 1, now = 1 - eta * h;
  for (int k = 0; k < 20; ++k) {
    const double g = h * x;
    rule->step(eta, k + 1, 1, &g, &x, &v);
    CHECK(test::near(x, now, 1e-14));
    const double next = (1.5 - eta * h) * now - 0.5 * before;
    before = now;
    now = next;
  }
}

TEST_CASE("Nesterov looks ahead: theta <- theta - eta (g + beta v)") {
  for (const double lambda : {0.0, 0.3})
    CHECK(error(*rule_of("nesterov", {{"momentum", 0.8}, {"weight_decay", lambda}}),
                [&](double x, double h, int steps) {
                  double v = 0;
                  for (int k = 0; k < steps; ++k) {
                    const double g = (h + lambda) * x;
                    v = 0.8 * v + g;
                    x -= rate(k) * (g + 0.8 * v);
                  }
                  return x;
                }) <= 1e-14);
}

TEST_CASE("Nesterov's method is its form with a gradient at the point ahead") {
  // y = θ − ηβv: v <- βv + g(θ), and in the coordinates of Nesterov's own sequence y_{k+1} = x_{k+1} +
  // β(x_{k+1} − x_k), x_{k+1} = y_k − η g(y_k); θ here is y there.
  const double eta = 0.1, beta = 0.7, h = 1.3;
  const auto rule = rule_of("nesterov", {{"momentum", beta}});
  double theta = 1, v = 0, x = 1, y = 1;
  for (int k = 0; k < 30; ++k) {
    const double g = h * theta;
    rule->step(eta, k + 1, 1, &g, &theta, &v);
    const double next = y - eta * h * y;
    y = next + beta * (next - x);
    x = next;
    CHECK(test::near(theta, y, 1e-14));
  }
}

TEST_CASE("AdamW has both moments, their bias corrections and a decay beside the gradient") {
  for (const double lambda : {0.0, 0.3}) {
    CHECK(error(*rule_of("adamw",
                         {{"beta1", 0.8}, {"beta2", 0.95}, {"epsilon", 1e-3}, {"weight_decay", lambda}}),
                [&](double x, double h, int steps) {
                  double m = 0, v = 0;
                  for (int k = 0; k < steps; ++k) {
                    const double g = h * x, t = k + 1;
                    m = 0.8 * m + 0.2 * g;
                    v = 0.95 * v + 0.05 * g * g;
                    const double m_hat = m / (1 - std::pow(0.8, t)), v_hat = v / (1 - std::pow(0.95, t));
                    x -= rate(k) * (m_hat / (std::sqrt(v_hat) + 1e-3) + lambda * x);
                  }
                  return x;
                }) <= 1e-13);
  }
}

TEST_CASE("the first step of AdamW is eta in the direction of the gradient's sign, whatever the betas") {
  for (const double beta2 : {0.0, 0.9, 0.999999}) {
    const auto rule = rule_of("adamw", {{"beta2", beta2}, {"epsilon", 1e-14}});
    double theta = 1, state[2] = {0, 0};
    const double g = -3.7;
    rule->step(0.01, 1, 1, &g, &theta, state);
    CHECK(test::near(theta, 1.01, 1e-13));
  }
}

TEST_CASE("weight decay in AdamW does not pass through the second moment, in heavy ball through the buffer") {
  // With g = 0 AdamW shrinks θ by the factor 1 − ηλ and leaves its moments at zero.
  double theta = 2, state[2] = {0, 0}, v = 0;
  const double g = 0;
  rule_of("adamw", {{"weight_decay", 0.5}})->step(0.1, 1, 1, &g, &theta, state);
  CHECK(test::near(theta, 2 * (1 - 0.05), 1e-15));
  CHECK(state[0] == 0);
  CHECK(state[1] == 0);
  theta = 2;
  rule_of("heavy-ball", {{"weight_decay", 0.5}})->step(0.1, 1, 1, &g, &theta, &v);
  CHECK(v == 1);
}

TEST_CASE(
    "every rule of the catalogue: single precision follows double, a component does not see its place") {
  for (const auto& [name, summary] : update_rule_catalogue()) {
    CAPTURE(name);
    CHECK_FALSE(summary.empty());
    const auto rule = rule_of(name, {{"weight_decay", 0.1}});
    CHECK(rule->name() == name);
    const std::vector<double> theta = run<double>(*rule, 25);
    const std::vector<float> single = run<float>(*rule, 25);
    for (std::size_t j = 0; j < d; ++j) CHECK(std::abs(theta[j] - double(single[j])) <= 3e-6);

    // the same component alone, in the vector loop, in its remainder, and in a part of a longer state
    const auto vectors = static_cast<std::size_t>(rule->state_vectors());
    std::vector<double> g(d, 0.3), all(d, 1.1), state(d * vectors, 0.25);
    rule->step(0.1, 3, d, g.data(), all.data(), state.data());
    double alone = 1.1;
    std::vector<double> own(vectors, 0.25);
    rule->step(0.1, 3, 1, g.data(), &alone, own.data());
    for (std::size_t j = 0; j < d; ++j) CHECK(all[j] == alone);
    std::vector<double> parts(d, 1.1), whole(d * vectors, 0.25);
    for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 11}, {11, d}})
      rule->step(0.1, 3, end - begin, g.data() + begin, parts.data() + begin, whole.data() + begin, d);
    CHECK(parts == all);
    CHECK(whole == state);
  }
}

TEST_CASE("a NaN gradient is not swallowed") {
  for (const auto& [name, summary] : update_rule_catalogue()) {
    const auto rule = rule_of(name);
    double theta = 1, state[2] = {0, 0};
    const double g = std::numeric_limits<double>::quiet_NaN();
    rule->step(0.1, 1, 1, &g, &theta, state);
    CHECK(std::isnan(theta));
  }
}

TEST_CASE("impossible parameters and unknown names are refused by the violated inequality") {
  CHECK_THROWS_WITH_AS(rule_of("heavy-ball", {{"momentum", 1.0}}), doctest::Contains("momentum < 1"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(rule_of("nesterov", {{"momentum", -0.1}}), doctest::Contains("0 <= momentum"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(rule_of("sgd", {{"weight_decay", std::nan("")}}), doctest::Contains("weight_decay"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(rule_of("adamw", {{"beta2", 1.0}}), doctest::Contains("beta2 < 1"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(rule_of("adamw", {{"epsilon", 0.0}}), doctest::Contains("epsilon"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(rule_of("adam"), doctest::Contains("heavy-ball"), std::invalid_argument);
}
