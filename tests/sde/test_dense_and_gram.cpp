// The two geometries against each other. They meet in nothing but the network's weights and the models'
// coefficients: the dense route differentiates MlpFit, the scalar network, by jets (∇²L, eigenpairs in R^d,
// ∇³L along eigenvectors of Ā), the Gram route takes J and Σ_a ∇²f_a w_a from MlpModel, which works on
// matrices of all samples at once, and lives in R^{nC}. The feedback of sampling is a fixed-point iteration
// in the one and conjugate gradients in the other.
#include <doctest/doctest.h>

#include <Eigen/Core>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/optim/second_moment_catalogue.hpp"
#include "slowsde/sde/dense_geometry.hpp"
#include "slowsde/sde/gram_geometry.hpp"
#include "tests/support/interpolating_network.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using Eigen::VectorXd;
using test::InterpolatingNetwork;

namespace {

struct Named {
  std::string name;
  std::shared_ptr<const SecondMoment> moment;
};

/// Every entry of the catalogue in every variant that its options have.
std::vector<Named> all_models() {
  std::vector<Named> models;
  for (const CatalogueEntry& entry : second_moment_catalogue()) {
    std::vector<std::pair<std::string, SecondMomentOptions>> variants = {{"", {}}};
    if (entry.name == "sampling") variants = {{", replaced", {}}, {", not replaced", {.replacement = false}}};
    if (entry.name == "heavy-ball")
      variants = {{", averaged", {.buffers = BufferPolicy::averaged}},
                  {", kept", {.buffers = BufferPolicy::kept}},
                  {", reset", {.buffers = BufferPolicy::reset}}};
    for (const auto& [suffix, options] : variants)
      models.push_back({entry.name + suffix, make_second_moment(entry.name, options)});
  }
  return models;
}

/// Wrong: B_loc stands where B = K·B_loc is meant.
class LocalForGlobalBatch final : public SecondMoment {
 public:
  explicit LocalForGlobalBatch(const SecondMoment& model) : model_(model) {}
  std::string_view name() const override { return "B_loc for B"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return round.workers * model_.coefficient(lambda_i, lambda_j, round);
  }
  double sampling_weight(const Round& round, int samples) const override {
    return model_.sampling_weight(round, samples);
  }

 private:
  const SecondMoment& model_;
};

/// Wrong: the model reads the eigenvalues of JJᵀ where those of JJᵀ/n are meant, as when L's 1/n is dropped
/// inside ψ.
class WithoutOneOverN final : public SecondMoment {
 public:
  WithoutOneOverN(const SecondMoment& model, int n) : model_(model), n_(n) {}
  std::string_view name() const override { return "without 1/n"; }
  double coefficient(double lambda_i, double lambda_j, const Round& round) const override {
    return n_ * model_.coefficient(n_ * lambda_i, n_ * lambda_j, round);
  }
  double sampling_weight(const Round& round, int samples) const override {
    return model_.sampling_weight(round, samples);
  }

 private:
  const SecondMoment& model_;
  int n_;
};

double relative(const VectorXd& a, const VectorXd& b) { return (a - b).norm() / b.norm(); }

struct Setting {
  std::vector<int> widths;
  int samples;
  std::uint64_t seed;
  Activation activation;
};

}  // namespace

TEST_CASE("the dense and the Gram route agree on rank, trace and the drift of every second-moment model") {
  const double sigma = 0.3;
  const Setting settings[] = {{{3, 5, 2}, 4, 410, Activation::tanh},
                              {{3, 5, 2}, 5, 420, Activation::silu},
                              {{2, 4, 3, 1}, 6, 430, Activation::tanh},
                              {{4, 6, 3}, 3, 440, Activation::silu}};
  double worst = 0;
  int compared = 0, rejected = 0;
  for (const Setting& setting : settings) {
    CAPTURE(setting.seed);
    const InterpolatingNetwork net(setting.widths, setting.samples, setting.seed, setting.activation);
    GramGeometry gram(net.model, {.feedback_tolerance = 1e-13});
    gram.move_to(net.theta);
    const DenseGeometry<MlpFit> dense(net.fit, {.tangent_threshold = 1e-9, .label_noise = sigma});
    const auto p = dense.at(net.theta);

    CHECK(p.rank() == gram.rank());
    CHECK(p.rank() == net.model.residuals());
    CHECK(p.rank_gap() > 1e4);
    CHECK(test::near_relative(p.lambda.sum(), gram.trace(), 1e-11));
    CHECK((p.lambda.tail(p.rank()) - gram.spectrum().tail(p.rank())).norm() < 1e-11 * gram.lambda_max());
    const VectorXd u = test::normal_vector(net.model.dim(), 7);
    CHECK(relative(p.project(u), gram.tangent(u)) < 1e-8);

    const Round round{
        .eta = 0.25 / gram.lambda_max(), .local_steps = 7, .workers = 4, .local_batch = 2, .momentum = 0.5};
    for (const Named& model : all_models()) {
      CAPTURE(model.name);
      const auto A = dense.second_moment(p, *model.moment, round);
      CHECK(A.converged);
      CHECK_FALSE(A.has_cross);  // label noise is normal to Γ
      const VectorXd drift = dense.slow_drift(p, A);
      const SlowDrift other = gram.slow_drift(*model.moment, round, sigma);
      CHECK(other.converged);
      const double difference = relative(other.value, drift);
      CHECK(difference <= 1e-8);
      worst = std::max(worst, difference);
      ++compared;
      // What the comparison can see. B_loc for B:
      const SlowDrift louder = gram.slow_drift(LocalForGlobalBatch(*model.moment), round, sigma);
      if (louder.converged) CHECK(relative(louder.value, drift) > 1);
      // and 1/n dropped where a model depends on the scale of λ beyond 1/(λ_i + λ_j).
      if (model.name == "sgd" || model.name == "qsr") continue;
      const WithoutOneOverN wrong(*model.moment, net.model.samples());
      const SlowDrift larger = gram.slow_drift(wrong, round, sigma);
      if (larger.converged) {
        CHECK(relative(larger.value, drift) > 1e-3);
        ++rejected;
      }
    }
  }
  CHECK(compared == 4 * 10);
  CHECK(rejected >= 4 * 5);  // in the others the larger eigenvalues leave no stationary moment
  MESSAGE("largest relative difference of the drifts: " << worst);
}

TEST_CASE("the models that feed sampling noise back differ from those that do not, in both routes") {
  const InterpolatingNetwork net({3, 5, 2}, 4, 450);
  GramGeometry gram(net.model);
  gram.move_to(net.theta);
  const DenseGeometry<MlpFit> dense(net.fit, {.tangent_threshold = 1e-9, .label_noise = 1});
  const auto p = dense.at(net.theta);
  const Round round{.eta = 0.3 / gram.lambda_max(), .local_steps = 7, .workers = 4, .local_batch = 2};
  const auto with = make_second_moment("sampling"),
             less = make_second_moment("sampling", {.replacement = false}),
             without = make_second_moment("finite-step");
  const VectorXd a = dense.slow_drift(p, *with, round), b = dense.slow_drift(p, *less, round),
                 c = dense.slow_drift(p, *without, round);
  CHECK(relative(gram.slow_drift(*less, round, 1).value, a) > 1e-3);
  CHECK(relative(gram.slow_drift(*without, round, 1).value, a) > 1e-3);
  CHECK(relative(gram.slow_drift(*without, round, 1).value, b) > 1e-3);
  // w = (n − B_loc)/(n − 1) = 2/3: less feedback than with replacement, to first order in proportion
  CHECK((b - c).norm() < 0.8 * (a - c).norm());
  CHECK((b - c).norm() > 0.5 * (a - c).norm());
}
