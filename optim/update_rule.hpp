// Update rules: what an optimizer does with one gradient. A rule is one small class; how its state fares at
// an average of the workers is no business of the rule (buffer_policy.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slowsde/optim/update_formula.hpp"
#include "slowsde/problems/pack.hpp"

namespace slowsde {

/// One optimizer step on d parameters. A rule is immutable; what it remembers is the caller's: `state` holds
/// state_vectors() vectors of length d one after the other, all zero before the first step, and `count` is
/// the number of steps taken since then, this one included (t of a bias correction).
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual std::string_view name() const = 0;
  virtual int state_vectors() const = 0;
  /// Whether a step is θ − ηg and nothing else, so that it may be taken where g is computed.
  virtual bool plain_descent() const { return false; }
  /// The formula of the rule, for those who apply it elsewhere: on a GPU.
  virtual UpdateFormula formula() const { return UpdateFormula::other; }
  /// The numbers of a step for that formula; throws std::logic_error for `other`.
  virtual UpdateNumbers<double> numbers(double, std::int64_t, double) const { return no_numbers<double>(); }
  virtual UpdateNumbers<float> numbers(double, std::int64_t, float) const { return no_numbers<float>(); }

  /// θ and the state after one step with gradient g and learning rate η, in place. Elementwise: the bits of a
  /// component depend on nothing but that component. The state vectors lie `stride` >= d apart, so that a
  /// part of the parameters can be stepped alone.
  virtual void step(double eta, std::int64_t count, std::size_t d, const double* g, double* theta,
                    double* state, std::size_t stride) const = 0;
  virtual void step(double eta, std::int64_t count, std::size_t d, const float* g, float* theta, float* state,
                    std::size_t stride) const = 0;
  template <class Real>
  void step(double eta, std::int64_t count, std::size_t d, const Real* g, Real* theta, Real* state) const {
    step(eta, count, d, g, theta, state, d);
  }

 private:
  template <class Real>
  static UpdateNumbers<Real> no_numbers() {
    throw std::logic_error("update rule: its formula is known to the rule alone");
  }
};

/// A rule from its formula for one component (update_formula.hpp). Rule has
///   template <class Real> Formula::Coefficients<Real> coefficients(double eta, std::int64_t count) const;
template <class Rule, class Formula>
class ElementwiseRule : public UpdateRule {
 public:
  using UpdateRule::step;
  int state_vectors() const final { return Formula::vectors; }
  UpdateFormula formula() const final { return Formula::formula; }
  UpdateNumbers<double> numbers(double eta, std::int64_t count, double) const final {
    return numbers_of<double>(eta, count);
  }
  UpdateNumbers<float> numbers(double eta, std::int64_t count, float) const final {
    return numbers_of<float>(eta, count);
  }
  void step(double eta, std::int64_t count, std::size_t d, const double* g, double* theta, double* state,
            std::size_t stride) const final {
    run(eta, count, d, g, theta, state, stride);
  }
  void step(double eta, std::int64_t count, std::size_t d, const float* g, float* theta, float* state,
            std::size_t stride) const final {
    run(eta, count, d, g, theta, state, stride);
  }

 private:
  template <class T, class Real>
  static T load(const Real* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  template <class T, class Real, class C>
  static SLOWSDE_INLINE void advance_at(std::size_t j, const Real* g, Real* theta, Real* state,
                                        std::size_t stride, const C& c) {
    constexpr int V = Formula::vectors;
    T s[V > 0 ? V : 1] = {};
    for (int v = 0; v < V; ++v) s[v] = load<T>(state + static_cast<std::size_t>(v) * stride + j);
    T x = load<T>(theta + j);
    Formula::template advance<T>(x, load<T>(g + j), s, c);
    std::memcpy(theta + j, &x, sizeof x);
    for (int v = 0; v < V; ++v)
      std::memcpy(state + static_cast<std::size_t>(v) * stride + j, &s[v], sizeof x);
  }

  template <class Real>
  UpdateNumbers<Real> numbers_of(double eta, std::int64_t count) const {
    const auto c = static_cast<const Rule&>(*this).template coefficients<Real>(eta, count);
    UpdateNumbers<Real> numbers;
    static_assert(sizeof c <= sizeof numbers);
    std::memcpy(numbers.value, &c, sizeof c);
    return numbers;
  }

  template <class Real>
  void run(double eta, std::int64_t count, std::size_t d, const Real* g, Real* theta, Real* state,
           std::size_t stride) const {
    const auto c = static_cast<const Rule&>(*this).template coefficients<Real>(eta, count);
    constexpr std::size_t W = static_cast<std::size_t>(native_width<Real>);
    std::size_t j = 0;
    for (; j + W <= d; j += W) advance_at<Pack<Real>>(j, g, theta, state, stride, c);
    for (; j < d; ++j) advance_at<Real>(j, g, theta, state, stride, c);
  }
};

/// Reads a parameter of a rule by its name, with the rule's default.
using ParameterSource = std::function<double(std::string_view name, double fallback)>;

/// Names that make_update_rule accepts, each with one line:
///   sgd         g' = g + λθ;  θ <- θ − ηg'
///   heavy-ball  v <- βv + g';  θ <- θ − ηv                                        (Polyak 1964)
///   nesterov    v <- βv + g';  θ <- θ − η(g' + βv)       (Nesterov 1983 as in Sutskever et al. 2013)
///   adamw       m <- β1 m + (1−β1)g;  v <- β2 v + (1−β2)g²;
///               θ <- θ − η( m̂/(√v̂ + ε) + λθ ),  m̂ = m/(1−β1^t),  v̂ = v/(1−β2^t)
///                                                            (Loshchilov & Hutter 2019, Algorithm 2)
/// λ is the parameter weight_decay: coupled (part of the gradient) in the SGD family, decoupled in AdamW.
std::vector<std::pair<std::string, std::string>> update_rule_catalogue();

/// Throws std::invalid_argument on an unknown name, or naming the inequality that a parameter violates.
std::shared_ptr<const UpdateRule> make_update_rule(std::string_view name, const ParameterSource& parameter);

}  // namespace slowsde
