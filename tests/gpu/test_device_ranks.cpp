// NCCL with one rank on one GPU: all that is sent, in both precisions, and the device trainer on it.
#include "slowsde/gpu/nccl_ranks.hpp"

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/device_trainer.hpp"
#include "slowsde/optim/rank_files.hpp"
#include "tests/gpu/network_cases.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/split_training.hpp"

using namespace slowsde;

TEST_CASE("one rank's sums, gathers and broadcasts over NCCL are its own numbers") {
  if (!has_nccl()) {
    MESSAGE("this slowsde was built without NCCL");
    return;
  }
  const test::Scratch scratch;
  const NcclRanks ranks = make_nccl_ranks({.timeout = 60, .mpi = nullptr, .path = (scratch / "id").string()});
  CHECK(test::broken_collectives(*ranks.communicator, 1001).empty());
  for (const std::size_t coarse : {0u, 257u, 258u}) {
    // integers up to 2^8 are exact in bfloat16 too, 257 is not
    std::vector<float> values;
    for (int j = 0; j <= 257; ++j) values.push_back(static_cast<float>(j));
    DeviceArray<float> device(values);
    ranks.device_sum->sum(device.data(), device.size(), coarse, nullptr);
    std::vector<float> sum(values.size());
    device.download(sum.data(), sum.size());
    CHECK(std::vector<float>(sum.begin(), sum.end() - 1) ==
          std::vector<float>(values.begin(), values.end() - 1));
    CHECK((sum.back() == 257) == (coarse <= 257));
  }
}

TEST_CASE("a training whose averages go over NCCL is the training without, but for the payload's precision") {
  if (!has_nccl()) {
    MESSAGE("this slowsde was built without NCCL");
    return;
  }
  const test::Scratch scratch;
  const NcclRanks ranks = make_nccl_ranks({.timeout = 60, .mpi = nullptr, .path = (scratch / "id").string()});
  for (const double lr : {0.05, 5e-4}) {
    CAPTURE(lr);
    test::NetworkCase what = test::network_cases()[1];
    what.lr = lr;
    const test::NetworkSetting setting(what, 30);
    double path = 0;  // the rounds' largest displacements
    const auto trained = [&](const DeviceTrainerParams& device, std::shared_ptr<Communicator> communicator) {
      const auto trainer =
          make_device_trainer<float>(setting.params, setting.start, setting.task,
                                     test::NetworkSetting::replica, device, std::move(communicator));
      path = 0;
      while (!trainer->finished()) {
        const std::vector<float> before = trainer->parameters();
        trainer->round();
        path += test::largest_difference(trainer->parameters(), before);
      }
      return trainer->parameters();
    };
    const auto alone = trained({}, nullptr);
    CHECK(trained({.device_sum = ranks.device_sum}, ranks.communicator) == alone);
    const double difference = test::largest_difference(
        trained({.device_sum = ranks.device_sum, .bf16 = true}, ranks.communicator), alone);
    CHECK(difference > 0);
    CHECK(difference <= 0x1p-8 * path);  // each round's displacement is rounded by at most 2^-8 of it
  }
}

TEST_CASE("gradients and trainings in double precision go over NCCL, too, with the loss") {
  if (!has_nccl()) {
    MESSAGE("this slowsde was built without NCCL");
    return;
  }
  const test::Scratch scratch;
  const NcclRanks ranks = make_nccl_ranks({.timeout = 60, .mpi = nullptr, .path = (scratch / "id").string()});
  const auto trained = [](const test::NetworkSetting& setting, const DeviceTrainerParams& device,
                          std::shared_ptr<Communicator> communicator, auto zero) {
    const auto trainer =
        make_device_trainer<decltype(zero)>(setting.params, setting.start, setting.task,
                                            test::NetworkSetting::replica, device, std::move(communicator));
    double loss = 0;
    while (!trainer->finished()) loss = trainer->round().batch_loss;
    return std::pair{trainer->parameters(), loss};
  };
  for (const std::size_t which : {1u, 4u}) {  // averaged states; gradients
    CAPTURE(which);
    const test::NetworkSetting setting(test::network_cases()[which], 14);
    const auto check = [&](auto zero, double tolerance) {
      const auto alone = trained(setting, {}, nullptr, zero);
      const auto over = trained(setting, {.device_sum = ranks.device_sum}, ranks.communicator, zero);
      CHECK(test::largest_difference(over.first, alone.first) <= tolerance);
      CHECK(std::abs(over.second - alone.second) <= 0x1p-40 * alone.second + tolerance);
    };
    check(0.0f, 0);
    check(0.0, 14 * 0x1p-23);  // what travels is rounded to single precision, once a round at most
  }
}

TEST_CASE("a rank that never comes ends the connection with its name") {
  if (!has_nccl()) {
    MESSAGE("this slowsde was built without NCCL");
    return;
  }
  const test::Scratch scratch;
  CHECK_THROWS_WITH_AS(
      make_nccl_ranks(
          {.rank = 0, .size = 2, .timeout = 0.5, .mpi = nullptr, .path = (scratch / "lost").string()}),
      doctest::Contains("rank 1 of 2 did not come"), LostRank);
}
