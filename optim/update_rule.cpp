#include "slowsde/optim/update_rule.hpp"

#include <cmath>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

double checked(const char* inequality, double value, bool holds) {
  detail::require(holds, "update rule", inequality, value);
  return value;
}

double weight_decay(const ParameterSource& parameter) {
  const double lambda = parameter("weight_decay", 0);
  return checked("0 <= weight_decay < infinity", lambda, lambda >= 0 && std::isfinite(lambda));
}

double momentum(const ParameterSource& parameter) {
  const double beta = parameter("momentum", 0.9);
  return checked("0 <= momentum < 1", beta, beta >= 0 && beta < 1);
}

class Sgd final : public ElementwiseRule<Sgd> {
 public:
  static constexpr int vectors = 0;
  static constexpr const char *id = "sgd", *summary = "theta - eta g";

  explicit Sgd(const ParameterSource& parameter) : lambda_(weight_decay(parameter)) {}
  std::string_view name() const override { return id; }
  bool plain_descent() const override { return lambda_ == 0; }

  template <class Real>
  struct Coefficients {
    Real eta, lambda;
  };
  template <class Real>
  Coefficients<Real> coefficients(double eta, std::int64_t) const {
    return {static_cast<Real>(eta), static_cast<Real>(lambda_)};
  }
  template <class T, class C>
  static void advance(T& theta, T g, T*, const C& c) {
    theta = theta - T(c.eta) * (g + T(c.lambda) * theta);
  }

 private:
  double lambda_;
};

/// What heavy ball and Nesterov's rule share: a buffer v, β, and decay that is part of the gradient.
template <class Rule>
class MomentumRule : public ElementwiseRule<Rule> {
 public:
  static constexpr int vectors = 1;

  explicit MomentumRule(const ParameterSource& parameter)
      : beta_(momentum(parameter)), lambda_(weight_decay(parameter)) {}
  std::string_view name() const override { return Rule::id; }

  template <class Real>
  struct Coefficients {
    Real eta, beta, lambda;
  };
  template <class Real>
  Coefficients<Real> coefficients(double eta, std::int64_t) const {
    return {static_cast<Real>(eta), static_cast<Real>(beta_), static_cast<Real>(lambda_)};
  }

 private:
  double beta_, lambda_;
};

class HeavyBall final : public MomentumRule<HeavyBall> {
 public:
  static constexpr const char *id = "heavy-ball", *summary = "momentum: v <- beta v + g; theta - eta v";
  using MomentumRule::MomentumRule;

  template <class T, class C>
  static void advance(T& theta, T g, T* v, const C& c) {
    v[0] = T(c.beta) * v[0] + (g + T(c.lambda) * theta);
    theta = theta - T(c.eta) * v[0];
  }
};

class Nesterov final : public MomentumRule<Nesterov> {
 public:
  static constexpr const char *id = "nesterov", *summary = "v <- beta v + g; theta - eta (g + beta v)";
  using MomentumRule::MomentumRule;

  template <class T, class C>
  static void advance(T& theta, T g, T* v, const C& c) {
    const T decayed = g + T(c.lambda) * theta;
    v[0] = T(c.beta) * v[0] + decayed;
    theta = theta - T(c.eta) * (decayed + T(c.beta) * v[0]);
  }
};

class AdamW final : public ElementwiseRule<AdamW> {
 public:
  static constexpr int vectors = 2;  // m, v
  static constexpr const char *id = "adamw",
                              *summary = "Adam with bias correction and decoupled weight decay";

  explicit AdamW(const ParameterSource& parameter)
      : beta1_(parameter("beta1", 0.9)),
        beta2_(parameter("beta2", 0.999)),
        epsilon_(parameter("epsilon", 1e-8)),
        lambda_(weight_decay(parameter)) {
    checked("0 <= beta1 < 1", beta1_, beta1_ >= 0 && beta1_ < 1);
    checked("0 <= beta2 < 1", beta2_, beta2_ >= 0 && beta2_ < 1);
    checked("0 < epsilon < infinity", epsilon_, epsilon_ > 0 && std::isfinite(epsilon_));
  }
  std::string_view name() const override { return id; }

  template <class Real>
  struct Coefficients {
    Real beta1, rest1, beta2, rest2, rate, inverse2, epsilon, decay;
  };
  /// The bias corrections are numbers of the step, so they cost no division per component.
  template <class Real>
  Coefficients<Real> coefficients(double eta, std::int64_t count) const {
    const double t = static_cast<double>(count);
    // 1 − β^t = −expm1(t log β), which loses nothing where β^t is close to 1
    const auto missing = [t](double beta) { return beta == 0 ? 1.0 : -std::expm1(t * std::log(beta)); };
    return {static_cast<Real>(beta1_),
            static_cast<Real>(1 - beta1_),
            static_cast<Real>(beta2_),
            static_cast<Real>(1 - beta2_),
            static_cast<Real>(eta / missing(beta1_)),
            static_cast<Real>(1 / missing(beta2_)),
            static_cast<Real>(epsilon_),
            static_cast<Real>(eta * lambda_)};
  }
  template <class T, class C>
  static void advance(T& theta, T g, T* s, const C& c) {
    using std::sqrt;
    s[0] = T(c.beta1) * s[0] + T(c.rest1) * g;
    s[1] = T(c.beta2) * s[1] + T(c.rest2) * (g * g);
    theta = theta - (T(c.rate) * s[0] / (sqrt(s[1] * T(c.inverse2)) + T(c.epsilon)) + T(c.decay) * theta);
  }

 private:
  double beta1_, beta2_, epsilon_, lambda_;
};

struct Row {
  const char *name, *summary;
  std::shared_ptr<const UpdateRule> (*make)(const ParameterSource&);
};

template <class Rule>
constexpr Row row() {
  return {Rule::id, Rule::summary, [](const ParameterSource& parameter) -> std::shared_ptr<const UpdateRule> {
            return std::make_shared<Rule>(parameter);
          }};
}

constexpr Row rows[] = {row<Sgd>(), row<HeavyBall>(), row<Nesterov>(), row<AdamW>()};

}  // namespace

std::vector<std::pair<std::string, std::string>> update_rule_catalogue() {
  std::vector<std::pair<std::string, std::string>> list;
  for (const Row& row : rows) list.emplace_back(row.name, row.summary);
  return list;
}

std::shared_ptr<const UpdateRule> make_update_rule(std::string_view name, const ParameterSource& parameter) {
  std::string names;
  for (const Row& row : rows) {
    if (name == row.name) return row.make(parameter);
    names += names.empty() ? row.name : std::string(", ") + row.name;
  }
  throw std::invalid_argument("unknown update rule \"" + std::string(name) + "\"; known: " + names);
}

}  // namespace slowsde
