// What problems of every size share before the experiments: simulating packs of iterates, the start and the
// names of observables.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/experiments/experiment_problem.hpp"
#include "slowsde/experiments/nearest.hpp"
#include "slowsde/gpu/lane_observable.hpp"

namespace slowsde {

template <Problem P>
class ProblemBase : public ExperimentProblem {
 public:
  explicit ProblemBase(P problem) : problem_(std::move(problem)) {
    if constexpr (LeastSquaresProblem<P>)
      offer({"residual", [this](const double* theta) { return largest_residual(theta); }});
  }

  int dim() const override { return dimension(problem_); }

  int samples() const override {
    if constexpr (LeastSquaresProblem<P>)
      return problem_.samples();
    else
      return 1;
  }

  std::vector<NoiseKind> noise_kinds() const override {
    std::vector<NoiseKind> kinds;
    if constexpr (LeastSquaresProblem<P>) kinds = {NoiseKind::label, NoiseKind::minibatch};
    if constexpr (GaussianNoiseProblem<P>) kinds.insert(kinds.begin(), NoiseKind::gaussian);
    return kinds;
  }

  void simulate(const IterateRun& run, std::uint64_t first_replica,
                const RecordStates& record) const override {
    if (run.single_precision)
      simulate_in<float>(run, first_replica, record);
    else
      simulate_in<double>(run, first_replica, record);
  }

  std::vector<std::string> observables() const override {
    std::vector<std::string> names = words();
    names.insert(names.begin(), {"x0 ... x<d-1>", "log_x0 ... log_x<d-1>"});
    return names;
  }

  void check_observables(const std::vector<std::string>& names) const override {
    for (const std::string& name : names) {
      const int j = std::max(observable_component(name, "x"), observable_component(name, "log_x"));
      if (j >= dim())
        throw std::invalid_argument("'" + name + "' does not exist, the problem has " +
                                    std::to_string(dim()) + " components");
      if (name == "angle" && dim() < 2) throw std::invalid_argument("'angle' needs two components");
      const std::vector<std::string> known = words();
      if (j >= 0 || std::find(known.begin(), known.end(), name) != known.end()) continue;
      const std::string hint = suggestion(name, known);
      std::string all = "; there are: x0, x1, ..., log_x0, ...";
      for (const std::string& word : known) all += ", " + word;
      throw std::invalid_argument("'" + name + "' is no observable of this problem" +
                                  (hint.empty() ? all : hint));
    }
  }

  void observe(const double* theta, const std::vector<std::string>& names, double* out) const override {
    for (std::size_t m = 0; m < names.size(); ++m) {
      const std::string& name = names[m];
      const int j = observable_component(name, "x"), log_j = observable_component(name, "log_x");
      if (j >= 0)
        out[m] = theta[j];
      else if (log_j >= 0)
        out[m] = std::log(std::abs(theta[log_j]));
      else if (name == "norm")
        out[m] = Eigen::Map<const Eigen::VectorXd>(theta, dim()).norm();
      else if (name == "angle")
        out[m] = std::atan2(theta[1], theta[0]);
      else if (name == "loss")
        out[m] = slowsde::loss(problem_, theta);
      else if (name == "trace" || name == "lambda_max")
        out[m] = curvature(theta, name);
      else
        out[m] = own(name)->value(theta);
    }
  }

 protected:
  /// Adds an observable of this problem alone. Throws std::invalid_argument if its name is taken.
  void offer(OwnObservable observable) {
    if (own(observable.name) != nullptr || observable_component(observable.name, "x") >= 0 ||
        observable_component(observable.name, "log_x") >= 0)
      throw std::invalid_argument("there are two observables named '" + observable.name + "'");
    for (const std::string& word : words())
      if (word == observable.name)
        throw std::invalid_argument("there are two observables named '" + word + "'");
    own_.push_back(std::move(observable));
  }

  /// "trace" or "lambda_max" of ∇²L at a point of Γ.
  virtual double curvature(const double* theta, const std::string& name) const = 0;

  const P& problem() const { return problem_; }

  /// The problem's own default start, projected onto Γ by the caller; (1, …, 1) where it names none.
  std::vector<double> raw_start() const {
    if constexpr (requires { problem_.default_start(); })
      return problem_.default_start();
    else
      return std::vector<double>(static_cast<std::size_t>(dim()), 1.0);
  }

 private:
  /// The observables that are single words: the generic ones, then the problem's own.
  std::vector<std::string> words() const {
    std::vector<std::string> names = {"norm", "angle", "loss", "trace", "lambda_max"};
    for (const OwnObservable& observable : own_) names.push_back(observable.name);
    return names;
  }

  const OwnObservable* own(const std::string& name) const {
    const auto found =
        std::find_if(own_.begin(), own_.end(), [&](const OwnObservable& o) { return o.name == name; });
    return found == own_.end() ? nullptr : &*found;
  }

  /// max_a |f_a − y_a|
  double largest_residual(const double* theta) const {
    const auto C = static_cast<std::size_t>(outputs_per_sample(problem_));
    std::vector<double> f(C), y(C);
    double largest = 0;
    for (int i = 0; i < problem_.samples(); ++i) {
      problem_.outputs(theta, i, f.data());
      problem_.targets(i, y.data());
      // A NaN is not lost in the comparison.
      for (std::size_t c = 0; c < C; ++c)
        if (!(std::abs(f[c] - y[c]) <= largest)) largest = std::abs(f[c] - y[c]);
    }
    return largest;
  }

  template <class Real>
  void simulate_in(const IterateRun& run, std::uint64_t first_replica, const RecordStates& record) const {
    switch (run.source.noise.kind) {
      case NoiseKind::gaussian:
        if constexpr (GaussianNoiseProblem<P> && static_dimension<P>() > 0)
          return simulate_with<Real, NoiseKind::gaussian>(run, first_replica, record);
        break;
      case NoiseKind::label:
        if constexpr (LeastSquaresProblem<P>)
          return simulate_with<Real, NoiseKind::label>(run, first_replica, record);
        break;
      case NoiseKind::minibatch:
        if constexpr (LeastSquaresProblem<P>)
          return simulate_with<Real, NoiseKind::minibatch>(run, first_replica, record);
        break;
    }
    throw std::invalid_argument("this problem has no noise of that kind");
  }

  template <class Real, NoiseKind Kind>
  void simulate_with(const IterateRun& run, std::uint64_t first_replica, const RecordStates& record) const {
    constexpr int W = native_width<Real>;
    LocalSgdPack<P, Real, Kind> pack(problem_, run.algorithm, run.source, first_replica);
    const auto d = static_cast<std::size_t>(dim());
    std::vector<double> states(d * W);
    pack.run(run.start.data(), run.points, [&](int point, const Pack<Real>* theta) {
      for (std::size_t l = 0; l < W; ++l)
        for (std::size_t j = 0; j < d; ++j)
          states[l * d + j] = static_cast<double>(theta[j][static_cast<int>(l)]);
      record(point, W, states.data());
    });
  }

  P problem_;
  std::vector<OwnObservable> own_;
};

}  // namespace slowsde
