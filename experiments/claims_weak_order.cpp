// Claims about how fast the slow theories become exact as η → 0: on the flat valley their means are known to
// rounding, and most of the iterates' scatter is that of the sum of their noise.
#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "slowsde/experiments/builtin_claims.hpp"
#include "slowsde/experiments/claim_measurements.hpp"
#include "slowsde/experiments/flat_valley.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"

namespace slowsde {
namespace {

constexpr int K = 4;
constexpr double t = 1, x0 = 0;

/// What a theory says of E tr ∇²L in a round.
using Theory = std::function<double(const Round& round)>;

struct Setting {
  FlatValley valley;
  double largest;                           ///< η
  std::function<double(double eta)> steps;  ///< H
  std::array<std::size_t, 2> replicas;      ///< at the largest η and at a quarter of it
};

/// The orders of several theories of the same iterates.
std::vector<Measured> orders(ClaimRun& run, const Setting& setting, const std::vector<Theory>& theories) {
  std::vector<double> levels;
  std::vector<std::vector<Measured>> errors(theories.size());
  for (std::size_t level = 0; level < 2; ++level) {
    const double eta = setting.largest * (level == 0 ? 1 : 0.25) * (run.full() ? 0.5 : 1);
    levels.push_back(eta);
    const Round round{.eta = eta, .local_steps = std::llround(setting.steps(eta)), .workers = K};
    const Measured mean =
        mean_at_end_without_noise(setting.valley.problem(), local_sgd(round, t), {x0, 0}, t,
                                  {.replicas = run.replicas(setting.replicas[level]),
                                   .seed = run.next_seed(),
                                   .threads = run.threads()},
                                  [](const double* zeta) { return FlatValley::trace(zeta[0]); });
    for (std::size_t m = 0; m < theories.size(); ++m) errors[m].push_back(mean - theories[m](round));
  }
  std::vector<Measured> result;
  for (const std::vector<Measured>& of_theory : errors) result.push_back(exponent(levels, of_theory));
  return result;
}

Comparison comparison(std::string theory, const Measured& order, const Setting& setting,
                      std::vector<Rival> rivals) {
  rivals.push_back({"no error of first order: 2", Measured::exact(2)});
  rivals.push_back({"an error that stays: 0", Measured::exact(0)});
  return {.quantity = "weak order in η of " + std::move(theory) + ", E tr ∇²L at t = 1, K = 4",
          .prediction = "1",
          .measured = order,
          .predicted = Measured::exact(1),
          .effect = 0.5,
          .margin = 0.5,  // leaves none of the neighbours 1/2 and 3/2
          .least_n = std::min(setting.replicas[0], setting.replicas[1]),
          .rivals = std::move(rivals)};
}

std::vector<Comparison> weak_order(ClaimRun& run) {
  const auto slow = [](const FlatValley& valley, const SecondMoment& moment) -> Theory {
    return [&](const Round& round) { return valley.slow_mean(moment, round, x0, t); };
  };
  const std::vector<Rival> bound = {
      {"the bound of Gu et al. 2023, were it sharp: 1/4", Measured::exact(0.25)}};
  const SgdMoment sgd;
  const PsiMoment psi;
  const FiniteStepMoment finite;
  const FlatValley narrow{.along = 0.1, .across = 2}, wide{.along = 1, .across = 1};
  const Setting parallel{narrow, 0.2, [](double) { return 1.0; }, {16000, 16000}};
  const Setting local{narrow, 0.2, [](double eta) { return 1 / eta; }, {16000, 16000}};
  const Setting finite_step{wide, 0.25, [](double eta) { return 1 / eta; }, {32000, 40000}};
  const double alpha2 = 1.0 / 8;
  const Setting qsr{wide, 0.125, [=](double eta) { return alpha2 / (eta * eta); }, {8000, 8000}};
  const Theory process = [&](const Round& round) { return wide.quasi_static_mean(round, alpha2, x0, t); };
  return {
      comparison("SGD's slow SDE", orders(run, parallel, {slow(narrow, sgd)})[0], parallel, bound),
      comparison("Local SGD's slow SDE at ηH = 1", orders(run, local, {slow(narrow, psi)})[0], local, bound),
      comparison("the quasi-static process at η²H = 1/8", orders(run, qsr, {process})[0], qsr, bound),
      comparison("the slow SDE with the finite-step moment at ηH = 1",
                 orders(run, finite_step, {slow(wide, finite)})[0], finite_step, bound)};
}

}  // namespace

void add_weak_order_claims(Registry& registry) {
  registry.add_claim("weak-order",
                     {.statement = "at fixed ηH, or fixed η²H, each slow theory has weak order 1 in η, where "
                                   "Õ(η^{1/4}) is proved",
                      .source = "Gu et al. 2023, Theorem 3.2 (bound); this project (order)",
                      .comparisons = 4,
                      .measure = weak_order,
                      .config = "weak-order.toml"});
}

}  // namespace slowsde
