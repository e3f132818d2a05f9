// Hessian-vector products on the device against the CPU's.
#include "slowsde/gpu/device_hessian.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "tests/gpu/hessian_cases.hpp"

using namespace slowsde;
using test::HessianCase;
using test::HessianSetting;

namespace {

template <class Real>
std::vector<Real> on_device(const HessianSetting<Real>& setting, int at_once, int times = 1) {
  const auto hessian =
      make_device_hessian<Real>(setting.network, setting.loss, setting.batch.view(), {.directions = at_once});
  hessian->set_point(setting.theta.data());
  std::vector<Real> products(setting.v.size(), static_cast<Real>(NAN));
  // the first is enqueued, the second recorded, the third repeated
  for (int k = 0; k < times; ++k) hessian->products(setting.directions, setting.v.data(), products.data());
  return products;
}

}  // namespace

TEST_CASE("on the device Hessian-vector products are the CPU's, in both precisions") {
  for (const int times : {1, 3})
    test::check_products(
        [times]<class Real>(const HessianSetting<Real>& setting) { return on_device(setting, 3, times); });
  for (const int at_once : {1, 2})  // directions in several parts
    test::check_products([at_once]<class Real>(const HessianSetting<Real>& setting) {
      return on_device(setting, at_once, 2);
    });
}

TEST_CASE("many samples and directions") {
  const HessianCase what{"MLP 64-64-64-10 of the throughput comparison", mlp_network({64, 64, 64, 10}), 2048,
                         9};
  const HessianSetting<double> wide(what, LossKind::cross_entropy);
  CHECK(wide.distance(on_device(wide, 64)) <= 1e-12);
  const HessianSetting<float> single(what, LossKind::cross_entropy);
  CHECK(single.distance(on_device(single, 64)) <= 1e-4);
  CHECK(on_device(single, 64) == on_device(single, 64));  // the bits of every run
}

TEST_CASE("another point, and products that are timed") {
  const HessianCase what = test::hessian_cases()[3];
  HessianSetting<double> setting(what, LossKind::cross_entropy);
  double seconds = 0;
  const auto hessian = make_device_hessian<double>(setting.network, setting.loss, setting.batch.view(),
                                                   {.directions = 3, .kernel_seconds = &seconds});
  std::vector<double> products(setting.v.size());
  const auto multiply = [&] { hessian->products(setting.directions, setting.v.data(), products.data()); };
  CHECK_THROWS_AS(multiply(), std::invalid_argument);
  const std::vector<double> elsewhere(setting.theta.size(), 0.25);
  for (int k = 0; k < 3; ++k) {
    hessian->set_point(elsewhere.data());
    multiply();
    CHECK(setting.distance(products) >= 1e-3);
    hessian->set_point(setting.theta.data());
    multiply();
    CHECK(setting.distance(products) <= 1e-12);
  }
  CHECK(seconds > 0);
}
