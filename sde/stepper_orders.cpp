#include "slowsde/sde/stepper_orders.hpp"

#include <cstdio>
#include <limits>

#include "slowsde/sde/linear_sde.hpp"
#include "slowsde/sde/reference_equations.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// Linear equations, one for each class; those of the last three have full matrices.
const Eigen::Matrix2d drift_matrix{{-0.7, 0.3}, {-0.2, -0.5}};

LinearSde<2, NoiseClass::additive> linear_additive() {
  LinearSde<2, NoiseClass::additive> sde;
  sde.A = drift_matrix;
  sde.a << 0.2, 0.1;
  sde.B = {Eigen::Matrix2d::Zero(), Eigen::Matrix2d::Zero()};
  sde.b = {Eigen::Vector2d(0.6, 0.2), Eigen::Vector2d(-0.1, 0.5)};
  return sde;
}
LinearSde<2, NoiseClass::diagonal> linear_diagonal() {
  LinearSde<2, NoiseClass::diagonal> sde;
  sde.A = drift_matrix;
  sde.a << 0.2, 0.1;
  sde.B = {Eigen::Matrix2d{{0.6, 0}, {0, 0}}, Eigen::Matrix2d{{0, 0}, {0, -0.4}}};
  sde.b = {Eigen::Vector2d(0.2, 0), Eigen::Vector2d(0, 0.3)};
  return sde;
}
LinearSde<1, NoiseClass::general> linear_scalar() {
  LinearSde<1, NoiseClass::general> sde;
  sde.A = drift_matrix;
  sde.B = {Eigen::Matrix2d{{0.3, 0.6}, {-0.2, 0.4}}};
  sde.b = {Eigen::Vector2d(0.1, -0.2)};
  return sde;
}
LinearSde<2, NoiseClass::general> linear_commutative() {
  LinearSde<2, NoiseClass::general> sde;
  sde.A = drift_matrix;
  sde.a << 0.2, 0.1;
  const Eigen::Matrix2d B{{0.3, 0.5}, {-0.2, 0.4}};
  sde.B = {B, 0.3 * Eigen::Matrix2d::Identity() - 0.7 * B};
  sde.b = {Eigen::Vector2d::Zero(), Eigen::Vector2d::Zero()};
  return sde;
}
LinearSde<2, NoiseClass::general> linear_general() {
  LinearSde<2, NoiseClass::general> sde;
  sde.A = drift_matrix;
  sde.B = {Eigen::Matrix2d{{0.1, 0.6}, {0.0, -0.2}}, Eigen::Matrix2d{{0.0, -0.1}, {0.5, 0.3}}};
  sde.b = {Eigen::Vector2d::Zero(), Eigen::Vector2d::Zero()};
  return sde;
}

struct Measure {
  const StepperOrderOptions& options;
  StepperOrders row;

  template <class Scheme, class S>
  void nonlinear(const Scheme& scheme, const S& sde, const char* equation) {
    row.equation = equation;
    const auto start = [&](double* x) { sde.start(x); };
    const auto observe = [&](const double* x) { return sde.observe(x); };
    OrderRun run;
    run.threads = options.threads;
    run.seed = options.seed;
    // A scheme of weak order 2 is soon at the noise: it is measured at larger steps.
    run.first = row.weak_expected < 1.5 ? 2 : S::noise == NoiseClass::additive ? 0 : 1;
    run.trajectories = options.weak_trajectories;
    const WeakErrors weak = weak_errors(scheme, sde, start, observe, run, row.weak_expected);
    row.weak_errors = weak.errors;
    row.weak = fit_order(weak.errors);
    row.limit_z = weak.limit.z(sde.expectation(run.end_time));
    run.first = 4;
    run.trajectories = options.strong_trajectories;
    run.seed = options.seed + 1;
    row.strong_errors = strong_errors(scheme, sde, start, run);
    row.strong = fit_order(row.strong_errors);
  }

  template <class Scheme, class S, int M, NoiseClass N>
  void linear(const Scheme& scheme, const S& sde, const LinearSde<M, N>& truth) {
    std::vector<double> weak, strong;
    for (const ExactErrors& error : exact_errors(scheme, sde, truth, 1, 4, 8)) {
      weak.push_back(error.weak);
      strong.push_back(error.strong);
    }
    row.weak_exact = extrapolated_order(weak);
    row.strong_exact = extrapolated_order(strong);
  }
};

const char* const equation_names[] = {
    "Beneš: dX = tanh X dt + dW", "X = sinh Y", "X = (sinh Y1, Y2 cosh Y1), one field",
    "X = (sinh Y1, Y2 cosh Y1), two fields", "X1 = sinh Y1, dX2 = -kX2 dt + c cosh Y1 dV2"};

/// A scheme for Itô's equations of all classes.
template <class Scheme>
void ito(Measure& measure, std::size_t noise) {
  const Scheme scheme;
  const char* const name = equation_names[noise];
  switch (noise) {
    case 0:
      measure.nonlinear(scheme, BenesSde{}, name);
      return measure.linear(scheme, linear_additive(), linear_additive());
    case 1:
      measure.nonlinear(scheme, SinhSde<>{}, name);
      return measure.linear(scheme, linear_diagonal(), linear_diagonal());
    case 2:
      measure.nonlinear(scheme, ShearedSinhSde<1>{}, name);
      return measure.linear(scheme, linear_scalar(), linear_scalar());
    case 3:
      measure.nonlinear(scheme, ShearedSinhSde<2>{}, name);
      return measure.linear(scheme, linear_commutative(), linear_commutative());
    default:
      // Platen's V is noise beside the path: what is left of a small bias is seen where there is less of it.
      measure.nonlinear(scheme,
                        measure.row.weak_expected > 1.5
                            ? NonCommutingSinhSde<>{.mu = 1.5, .s = 0.2, .c = 0.15}
                            : NonCommutingSinhSde<>{},
                        name);
      return measure.linear(scheme, linear_general(), linear_general());
  }
}

void heun(Measure& measure, std::size_t noise) {
  constexpr Calculus C = Calculus::stratonovich;
  const Heun scheme;
  const char* const name = equation_names[noise];
  switch (noise) {
    case 0:
      measure.nonlinear(scheme, BenesSde{}, name);
      return measure.linear(scheme, linear_additive(), linear_additive());
    case 1:
      measure.nonlinear(scheme, SinhSde<C>{}, name);
      return measure.linear(scheme, linear_diagonal().stratonovich(), linear_diagonal());
    case 2:
      measure.nonlinear(scheme, ShearedSinhSde<1, C>{}, name);
      return measure.linear(scheme, linear_scalar().stratonovich(), linear_scalar());
    case 3:
      measure.nonlinear(scheme, ShearedSinhSde<2, C>{}, name);
      return measure.linear(scheme, linear_commutative().stratonovich(), linear_commutative());
    default:
      measure.nonlinear(scheme, NonCommutingSinhSde<C>{}, name);
      return measure.linear(scheme, linear_general().stratonovich(), linear_general());
  }
}

void milstein(Measure& measure, std::size_t noise) {
  const Milstein scheme;
  if (noise == 0) {
    measure.nonlinear(scheme, BenesSde{}, equation_names[0]);
    measure.linear(scheme, linear_additive(), linear_additive());
  } else {
    measure.nonlinear(scheme, SinhSde<>{}, equation_names[1]);
    measure.linear(scheme, linear_diagonal(), linear_diagonal());
  }
}

template <class Scheme>
void retracted(Measure& measure, std::size_t noise) {
  measure.row.weak_exact = measure.row.strong_exact = nan;
  if (noise == 2)
    measure.nonlinear(Retracted{Scheme{}, Normalise<2>{}}, CircleSde<1>{}, "circle, X1 = -tanh Y, one field");
  else if (noise == 3)
    measure.nonlinear(Retracted{Scheme{}, Normalise<2>{}}, CircleSde<2>{},
                      "circle, X1 = -tanh Y, two fields");
  else
    measure.nonlinear(Retracted{Scheme{}, Normalise<3>{}}, SphereSde{}, "Brownian motion on the sphere");
}

struct Entry {
  const char* why_not[5];
  double weak[5], strong[5];
  void (*measure)(Measure&, std::size_t);
};

const char* const diagonal_only = "needs diagonal noise";
const char* const flat = "keeps no curved manifold";

// In the order of stepper_order_schemes().
const Entry entries[] = {
    {{}, {1, 1, 1, 1, 1}, {1, 0.5, 0.5, 0.5, 0.5}, ito<EulerMaruyama>},
    {{}, {2, 1, 1, 1, 1}, {1, 1, 1, 1, 0.5}, heun},
    {{nullptr, nullptr, diagonal_only, diagonal_only, diagonal_only}, {1, 1}, {1, 1}, milstein},
    {{}, {2, 2, 2, 2, 2}, {1, 1, 1, 1, 0.5}, ito<PlatenWeak2>},
    {{flat, flat}, {0, 0, 1, 1, 1}, {0, 0, 0.5, 0.5, 0.5}, retracted<EulerMaruyama>},
    {{flat, flat}, {0, 0, 2, 2, 2}, {0, 0, 1, 1, 0.5}, retracted<PlatenWeak2>}};

}  // namespace

const std::vector<std::string>& stepper_order_schemes() {
  static const std::vector<std::string> names = {
      "Euler-Maruyama",         "Heun", "Milstein", "Platen weak 2", "retracted Euler-Maruyama",
      "retracted Platen weak 2"};
  return names;
}

const std::vector<std::string>& stepper_order_noises() {
  static const std::vector<std::string> names = {"additive", "diagonal", "scalar", "commutative", "general"};
  return names;
}

OrderVerdict StepperOrders::verdict() const {
  const auto exact = [](double order, double expected) {
    return std::isnan(order) || std::abs(order - expected) <= 0.05;
  };
  if (weak_verdict() == OrderVerdict::refuted || strong_verdict() == OrderVerdict::refuted ||
      !(limit_z <= 4.5) || !exact(weak_exact, weak_expected) || !exact(strong_exact, strong_expected))
    return OrderVerdict::refuted;
  return weak_verdict() == OrderVerdict::confirmed && strong_verdict() == OrderVerdict::confirmed
             ? OrderVerdict::confirmed
             : OrderVerdict::inconclusive;
}

std::vector<StepperOrders> measure_stepper_orders(const StepperOrderOptions& options,
                                                  const std::function<void(int)>& done) {
  std::vector<StepperOrders> all;
  for (std::size_t s = 0; s < stepper_order_schemes().size(); ++s)
    for (std::size_t noise = 0; noise < stepper_order_noises().size(); ++noise) {
      const Entry& entry = entries[s];
      Measure measure{options, {}};
      measure.row.scheme = stepper_order_schemes()[s];
      measure.row.noise = stepper_order_noises()[noise];
      measure.row.weak_expected = entry.weak[noise];
      measure.row.strong_expected = entry.strong[noise];
      if (entry.why_not[noise] != nullptr)
        measure.row.why_not = entry.why_not[noise];
      else
        entry.measure(measure, noise);
      all.push_back(std::move(measure.row));
      if (done) done(static_cast<int>(all.size()));
    }
  return all;
}

std::string stepper_order_table(const std::vector<StepperOrders>& all) {
  std::string text =
      "                                        weak order                           strong order\n"
      "scheme                    noise        theory  sampled, 99 %     exact      theory  sampled, 99 %     "
      "exact "
      "     verdict\n";
  char line[256];
  for (const StepperOrders& row : all) {
    if (!row.applies()) {
      std::snprintf(line, sizeof line, "%-25s %-12s does not apply: %s\n", row.scheme.c_str(),
                    row.noise.c_str(), row.why_not.c_str());
    } else {
      const auto exact = [](double order) {
        char number[32];
        std::snprintf(number, sizeof number, std::isnan(order) ? "-" : "%.3f", order);
        return std::string(number);
      };
      std::snprintf(
          line, sizeof line, "%-25s %-12s %-7.3g %6.3f +- %-7.3f %-10s %-7.3g %6.3f +- %-7.3f %-10s %s\n",
          row.scheme.c_str(), row.noise.c_str(), row.weak_expected, row.weak.order, row.weak.half_width(),
          exact(row.weak_exact).c_str(), row.strong_expected, row.strong.order, row.strong.half_width(),
          exact(row.strong_exact).c_str(), name_of(row.verdict()));
    }
    text += line;
  }
  return text;
}

}  // namespace slowsde
