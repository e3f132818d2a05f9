// Hessian-vector products layer by layer, with loops in place of cuBLAS and kernels, against the CPU's.
#include "slowsde/gpu/layered_hessian.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/device_hessian.hpp"
#include "tests/gpu/hessian_cases.hpp"
#include "tests/gpu/loop_machine.hpp"

using namespace slowsde;
using Eigen::VectorXd;
using test::HessianCase;
using test::HessianSetting;
using test::LoopMachine;

namespace {

/// An error: what is kept at the point is changed.
template <class Real>
using Spoil = void (*)(const HessianPlan& plan, Real* memory);

template <class Real>
struct HessianLoops {
  LoopMachine machine = {};
  int most = 3;  ///< directions at once
  Spoil<Real> spoil = nullptr;

  /// Along the directions v: (count × d).
  std::vector<Real> products(const HessianSetting<Real>& setting, const std::vector<Real>& v) const {
    const Batch<Real> batch = setting.batch.view();
    const HessianPlan plan(hessian_layout(setting.network, setting.loss, batch.size), most);
    const LayeredPlan& point = plan.point;
    std::vector<int> chosen(static_cast<std::size_t>(point.chosen()));
    std::vector<Real> memory(static_cast<std::size_t>(plan.numbers), static_cast<Real>(NAN));
    const auto place = [&](const Real* rows, int count, std::int64_t at) {
      for (std::ptrdiff_t r = 0; r < count; ++r)
        std::copy_n(rows + r * batch.stride, batch.size, memory.data() + at + r * batch.size);
    };
    place(batch.x, point.shape.inputs(), point.place[0].in);
    if (setting.loss == LossKind::squared) place(batch.y, point.shape.outputs(), point.targets);
    std::copy_n(batch.labels, batch.size, chosen.data() + batch.size);
    const HessianMemory<Real> at{chosen.data(), memory.data()};
    set_hessian_point<Real>(machine, plan, at, setting.theta.data());
    if (spoil) spoil(plan, memory.data());
    const auto nan = static_cast<Real>(NAN);
    const std::size_t d = setting.theta.size(), row = static_cast<std::size_t>(plan.row);
    std::vector<Real> result(v.size(), nan);
    for (std::size_t first = 0; first < v.size(); first += static_cast<std::size_t>(most) * d) {
      const std::size_t now = std::min(static_cast<std::size_t>(most), (v.size() - first) / d);
      std::vector<Real> rows(now * row, nan), products(now * row, nan);
      for (std::size_t k = 0; k < now; ++k) std::copy_n(v.data() + first + k * d, d, rows.data() + k * row);
      layered_hessian_products<Real>(machine, plan, at, setting.theta.data(), static_cast<int>(now),
                                     rows.data(), products.data());
      for (std::size_t k = 0; k < now; ++k)
        std::copy_n(products.data() + k * row, d, result.data() + first + k * d);
    }
    return result;
  }
  std::vector<Real> products(const HessianSetting<Real>& setting) const {
    return products(setting, setting.v);
  }
};

const LossKind losses[] = {LossKind::squared, LossKind::cross_entropy};

}  // namespace

TEST_CASE("layer by layer Hessian-vector products are the CPU's, in both precisions") {
  test::check_products(
      []<class Real>(const HessianSetting<Real>& setting) { return HessianLoops<Real>{}.products(setting); });
}

TEST_CASE("the product is the derivative of the gradient, and the Hessian is symmetric") {
  for (const HessianCase& what : test::hessian_cases())
    for (const LossKind loss : losses) {
      CAPTURE(what.name);
      CAPTURE(static_cast<int>(loss));
      const HessianSetting<double> setting(what, loss);
      const std::vector<double> products = HessianLoops<double>{}.products(setting);
      NetworkDerivatives<double> derivatives(setting.network, loss, setting.batch.view());
      const auto gradient = [&](const VectorXd& theta) {
        VectorXd g(theta.size());
        derivatives.gradient(theta.data(), g.data());
        return g;
      };
      const double h = 1e-5;
      const VectorXd v = setting.row(setting.v, 0), Hv = setting.row(products, 0);
      // A ReLU's kinks do not lie on the short line, or its sum would jump.
      CHECK(test::relative(
                (gradient(setting.wide_theta + h * v) - gradient(setting.wide_theta - h * v)) / (2 * h), Hv) <
            1e-6);
      for (int k = 1; k < setting.directions; ++k) {
        const VectorXd u = setting.row(setting.v, k), Hu = setting.row(products, k);
        CHECK(std::abs(u.dot(Hv) - v.dot(Hu)) <= 1e-12 * u.norm() * Hv.norm());
      }
    }
}

TEST_CASE("the bits depend on neither the order of the indices nor the other directions") {
  for (const HessianCase& what : test::hessian_cases()) {
    CAPTURE(what.name);
    const HessianSetting<float> setting(what, LossKind::cross_entropy);
    const std::vector<float> expected = HessianLoops<float>{}.products(setting);
    CHECK(HessianLoops<float>{.machine = {.backwards = true}}.products(setting) == expected);
    for (const int most : {1, 2, 5}) CHECK(HessianLoops<float>{.most = most}.products(setting) == expected);
  }
}

TEST_CASE("wrong products are rejected") {
  const auto reject = [](const std::string& name, LossKind loss, const HessianLoops<double>& loops) {
    CAPTURE(name);
    for (const HessianCase& what : {test::hessian_cases()[3], test::hessian_cases()[4]}) {
      CAPTURE(what.name);
      const HessianSetting<double> setting(what, loss);
      const double distance = setting.distance(loops.products(setting));
      CHECK(distance >= 1e-3);
      CHECK(std::isfinite(distance));
    }
  };
  const auto fill = [](const HessianPlan& plan, double* from, int l, double value) {
    std::fill_n(from, plan.point.shape.layer[l].outputs * plan.point.shape.batch, value);
  };
  static constexpr auto set = +fill;
  for (const LossKind loss : losses) {
    reject("no second derivative of the activation", loss,
           {.spoil = [](const HessianPlan& plan, double* memory) {
             for (int l = 0; l + 1 < plan.point.shape.layers; ++l)
               set(plan, memory + plan.place[l].bend, l, 0);
           }});
    reject("no slope of the activation", loss, {.spoil = [](const HessianPlan& plan, double* memory) {
             for (int l = 0; l + 1 < plan.point.shape.layers; ++l)
               set(plan, memory + plan.place[l].slope, l, 1);
           }});
    reject("a residual that is zero: the Gauss-Newton matrix", loss,
           {.spoil = [](const HessianPlan& plan, double* memory) {
             for (int l = 0; l < plan.point.shape.layers; ++l) {
               set(plan, memory + plan.point.place[l].delta, l, 0);
               if (l + 1 < plan.point.shape.layers) set(plan, memory + plan.place[l].bend, l, 0);
             }
           }});
    reject("a term left out of each product", loss, {.machine = {.left_out = 1}});
  }
  reject("classes of equal probability", LossKind::cross_entropy,
         {.spoil = [](const HessianPlan& plan, double* memory) {
           const int top = plan.point.shape.layers - 1;
           set(plan, memory + plan.probabilities, top, 1.0 / plan.point.shape.outputs());
         }});
}

TEST_CASE("networks, samples and parameters that have no products on the device are refused") {
  const auto refused = [](const Network& network) {
    CHECK_THROWS_WITH_AS(hessian_layout(network, LossKind::squared, 5),
                         doctest::Contains("it has other layers than dense ones"), std::invalid_argument);
  };
  refused(cnn_network({1, 8, 8}, {4, 6}, 3));
  refused(Network({5, 1, 1}, {Dense{3}, Activation::tanh}));
  refused(Network({5, 1, 1}, {Dense{3}, GroupNorm{1}, Dense{2}}));
  const HessianSetting<double> setting(test::hessian_cases()[3], LossKind::cross_entropy);
  const auto make = [&](LossKind loss, const Batch<double>& batch, const DeviceHessianParams& params = {}) {
    return make_device_hessian<double>(setting.network, loss, batch, params);
  };
  Batch<double> batch = setting.batch.view();
  batch.labels = nullptr;
  CHECK_THROWS_WITH_AS(make(LossKind::cross_entropy, batch),
                       "device Hessian: the cross-entropy has labels is violated by none",
                       std::invalid_argument);
  batch = setting.batch.view();
  batch.y = nullptr;
  CHECK_THROWS_AS(make(LossKind::squared, batch), std::invalid_argument);
  batch = setting.batch.view();
  batch.size = 0;
  CHECK_THROWS_AS(make(LossKind::squared, batch), std::invalid_argument);
  batch = setting.batch.view();
  const std::vector<int> labels(static_cast<std::size_t>(batch.size), 3);
  batch.labels = labels.data();
  CHECK_THROWS_WITH_AS(make(LossKind::cross_entropy, batch),
                       "device Hessian: 0 <= label < outputs is violated by 3", std::invalid_argument);
  CHECK_THROWS_AS(make(LossKind::squared, setting.batch.view(), {.directions = 0}), std::invalid_argument);
}
