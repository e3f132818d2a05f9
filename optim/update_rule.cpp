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

class Sgd final : public ElementwiseRule<Sgd, SgdFormula> {
 public:
  static constexpr const char *id = "sgd", *summary = "theta - eta g";

  explicit Sgd(const ParameterSource& parameter) : lambda_(weight_decay(parameter)) {}
  std::string_view name() const override { return id; }
  bool plain_descent() const override { return lambda_ == 0; }

  template <class Real>
  SgdFormula::Coefficients<Real> coefficients(double eta, std::int64_t) const {
    return {static_cast<Real>(eta), static_cast<Real>(lambda_)};
  }

 private:
  double lambda_;
};

/// What heavy ball and Nesterov's rule share.
template <class Rule, class Formula>
class MomentumRule : public ElementwiseRule<Rule, Formula> {
 public:
  explicit MomentumRule(const ParameterSource& parameter)
      : beta_(momentum(parameter)), lambda_(weight_decay(parameter)) {}
  std::string_view name() const override { return Rule::id; }

  template <class Real>
  MomentumFormula::Coefficients<Real> coefficients(double eta, std::int64_t) const {
    return {static_cast<Real>(eta), static_cast<Real>(beta_), static_cast<Real>(lambda_)};
  }

 private:
  double beta_, lambda_;
};

class HeavyBall final : public MomentumRule<HeavyBall, HeavyBallFormula> {
 public:
  static constexpr const char *id = "heavy-ball", *summary = "momentum: v <- beta v + g; theta - eta v";
  using MomentumRule::MomentumRule;
};

class Nesterov final : public MomentumRule<Nesterov, NesterovFormula> {
 public:
  static constexpr const char *id = "nesterov", *summary = "v <- beta v + g; theta - eta (g + beta v)";
  using MomentumRule::MomentumRule;
};

class AdamW final : public ElementwiseRule<AdamW, AdamWFormula> {
 public:
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

  /// The bias corrections are numbers of the step, so they cost no division per component.
  template <class Real>
  AdamWFormula::Coefficients<Real> coefficients(double eta, std::int64_t count) const {
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
