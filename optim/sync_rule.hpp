// Synchronization rules: how many local steps the workers take before their parameters are averaged.
//
// A rule is one small class with a description beside it (name, parameters, how it is made); the list at the
// end of this file names the descriptions. Nothing else knows the rules.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slowsde/optim/rule_description.hpp"

namespace slowsde {

/// H of a round as a function of its first step k and the learning rate there.
class SyncRule {
 public:
  virtual ~SyncRule() = default;
  virtual std::string_view name() const = 0;

  /// H = min(max(⌊desired⌋, 1), remaining): the last round of a run is shortened and ends in an average like
  /// any other. (The reference implementation of Gu et al. 2024 leaves N mod H steps of a constant H without
  /// an average.) `step` is the 0-based index k of the round's first step, `remaining` = N − k. Throws
  /// std::invalid_argument when step < 0, remaining < 1 or lr is negative or NaN.
  std::int64_t local_steps(std::int64_t step, double lr, std::int64_t remaining) const;

 private:
  /// H before it is truncated and clamped: a rule may ask for more steps than an integer holds, or for
  /// infinity.
  virtual double desired_steps(std::int64_t step, double lr) const = 0;
};

/// H steps in each round.
class ConstantRule final : public SyncRule {
 public:
  explicit ConstantRule(std::int64_t H);
  std::string_view name() const override { return "constant"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t, double) const override { return static_cast<double>(H_); }
  std::int64_t H_;
};

/// An average after every step: data-parallel SGD.
class ParallelRule final : public SyncRule {
 public:
  std::string_view name() const override { return "parallel"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t, double) const override { return 1; }
};

/// H = max(H_base, ⌊(α/η)^γ⌋) after the warm-up, H_base for rounds that begin within it; optionally at most
/// H_max. A round that began within the warm-up is not cut at its end. γ = 2 is the Quadratic Synchronization
/// Rule (Gu et al. 2024, Algorithm 2); 1 and 3 are its ablations.
struct PowerRuleParams {
  double alpha = 0.2;
  double gamma = 2;
  std::int64_t base_steps = 2;    ///< H_base
  std::int64_t max_steps = 0;     ///< H_max; 0 is none
  std::int64_t warmup_steps = 0;  ///< w

  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

class PowerRule final : public SyncRule {
 public:
  explicit PowerRule(const PowerRuleParams& params);
  std::string_view name() const override { return "power"; }
  const PowerRuleParams& params() const { return params_; }
  static RuleDescription description();
  static RuleDescription quadratic_description();  ///< of γ = 2, under the name qsr

 private:
  double desired_steps(std::int64_t step, double lr) const override;
  PowerRuleParams params_;
};

/// H = 1 for rounds that begin before step k0, then H (post-local SGD, Lin et al. 2020).
class PostLocalRule final : public SyncRule {
 public:
  PostLocalRule(std::int64_t H, std::int64_t switch_step);
  std::string_view name() const override { return "post-local"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t step, double) const override {
    return step < k0_ ? 1 : static_cast<double>(H_);
  }
  std::int64_t H_, k0_;
};

/// H_base for rounds that begin before step k0, then one round to the end (SWAP, Gupta et al. 2020).
class SwapRule final : public SyncRule {
 public:
  SwapRule(std::int64_t base_steps, std::int64_t switch_step);
  std::string_view name() const override { return "swap"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t step, double) const override;
  std::int64_t H_base_, k0_;
};

/// H = max(H_base, ⌊c·k⌋), growing in proportion to the step.
class ProportionalRule final : public SyncRule {
 public:
  ProportionalRule(std::int64_t base_steps, double growth);
  std::string_view name() const override { return "proportional"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t step, double) const override;
  std::int64_t H_base_;
  double c_;
};

/// H of the last entry (first step, H) that does not lie after the round's first step.
class TableRule final : public SyncRule {
 public:
  using Table = std::vector<std::pair<std::int64_t, std::int64_t>>;
  /// Throws std::invalid_argument unless the table begins at step 0, its steps increase and every H ≥ 1.
  explicit TableRule(Table table);
  std::string_view name() const override { return "table"; }
  static RuleDescription description();

 private:
  double desired_steps(std::int64_t step, double) const override;
  Table table_;
};

/// The rules that slowsde brings along.
inline std::vector<RuleDescription> sync_rule_catalogue() {
  return {ConstantRule::description(),     ParallelRule::description(),  PowerRule::quadratic_description(),
          PowerRule::description(),        PostLocalRule::description(), SwapRule::description(),
          ProportionalRule::description(), TableRule::description()};
}

/// A rule of that catalogue. Throws std::invalid_argument on an unknown name, and as RuleDescription::rule.
std::shared_ptr<const SyncRule> make_sync_rule(std::string_view name, const RuleArguments& arguments);

}  // namespace slowsde
