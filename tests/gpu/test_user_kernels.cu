// The kernels themselves: a problem of the user's, and a kernel that is wrong on purpose.
#include "slowsde/gpu/ensemble_kernels.cuh"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "slowsde/problems/valley.hpp"
#include "tests/support/device_ensembles.hpp"

/// As a user writes it, without a line of CUDA: derivatives by duals, in three dimensions.
struct Wavy {
  static constexpr int dim = 3, outputs_count = 2;
  int samples() const { return 2; }
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I&, T* f) const {
    using std::sin;
    f[0] = (2.0 + sin(theta[0])) * theta[1];
    f[1] = theta[2] - theta[0] * theta[1];
  }
  template <class I, class T>
  SLOWSDE_HD void targets(const I&, T* y) const {
    y[0] = T(0.0);
    y[1] = T(0.5);
  }
};
SLOWSDE_ENSEMBLE_KERNELS(Wavy);

namespace {

using slowsde::DeviceArray;
using slowsde::IterateEnsemble;
using slowsde::IterateWorker;
using slowsde::NoiseKind;
using slowsde::test::ensemble_of;
using slowsde::test::on_host;
using slowsde::test::same_bits;

/// Wrong on purpose: a worker draws its neighbour's noise.
template <class Right>
struct ShiftedWorker : Right {
  SLOWSDE_HD ShiftedWorker(const typename Right::Setup& setup, std::uint64_t replica, std::uint32_t worker)
      : Right(setup, replica, worker + 1) {}
};

template <class Worker>
std::vector<double> of_launch(const IterateEnsemble& ensemble, std::size_t replicas) {
  slowsde::detail::IterateChunks<Worker> chunks({slowsde::Valley{}, ensemble.algorithm, ensemble.source},
                                                round_table(ensemble.algorithm, ensemble.points),
                                                ensemble.start, replicas);
  std::vector<double> states(2 * replicas);
  chunks.run(0, replicas, [&](std::size_t, const double* x) {
    slowsde::check_cuda(cudaMemcpy(states.data(), x, states.size() * sizeof(double), cudaMemcpyDeviceToHost),
                        "copying");
  });
  return states;
}

}  // namespace

TEST_CASE("a user's problem has the host's bits on the device") {
  const Wavy problem;
  for (const int workers : {3, 48})
    for (const NoiseKind kind : {NoiseKind::label, NoiseKind::minibatch}) {
      const IterateEnsemble ensemble = ensemble_of(workers, kind, false, {0.4, 0.1, 0.6});
      std::vector<double> device;
      slowsde::make_ensemble_kernels(problem)->simulate(ensemble, 7, 23, device);
      if (kind == NoiseKind::label)
        CHECK(same_bits(device,
                        on_host<IterateWorker<Wavy, double, NoiseKind::label>>(problem, ensemble, 7, 23)));
      else
        CHECK(same_bits(
            device, on_host<IterateWorker<Wavy, double, NoiseKind::minibatch>>(problem, ensemble, 7, 23)));
    }
}

TEST_CASE("a wrong kernel is told from the right one") {
  using Right = IterateWorker<slowsde::Valley, double, NoiseKind::label>;
  const IterateEnsemble ensemble = ensemble_of(4, NoiseKind::label, false, {1.5, 0.1});
  const std::vector<double> right = of_launch<Right>(ensemble, 21);
  CHECK(same_bits(right, of_launch<Right>(ensemble, 21)));
  CHECK(!same_bits(right, of_launch<ShiftedWorker<Right>>(ensemble, 21)));
}

TEST_CASE("too much memory is a clear error, after which the device still works") {
  CHECK_THROWS_AS(DeviceArray<double>(std::size_t{1} << 44), slowsde::DeviceError);
  try {
    const DeviceArray<double> much(std::size_t{1} << 44);
    FAIL("unreachable");
  } catch (const slowsde::DeviceError& e) {
    CHECK(std::string(e.what()).find("out of memory") != std::string::npos);
  }
  const std::vector<double> sent = {1, 2, 3};
  const DeviceArray<double> array(sent);
  std::vector<double> back(3);
  array.download(back.data(), 3);
  CHECK(back == sent);
}
