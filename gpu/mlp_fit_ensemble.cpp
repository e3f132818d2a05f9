#include "slowsde/gpu/mlp_fit_ensemble.hpp"

#if defined(SLOWSDE_CUDA)

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/continued_kernels.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/mlp_fit_kernels.hpp"
#include "slowsde/gpu/own_stream.hpp"

#endif

namespace slowsde {

#if defined(SLOWSDE_CUDA)

namespace {

/// Memory of a block on this device.
std::size_t most_block_bytes() {
  int device = 0, bytes = 0;
  check_cuda(cudaGetDevice(&device), "asking for the device");
  check_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for a block's shared memory");
  return static_cast<std::size_t>(bytes);
}

template <class Use>
void with_precision(const IterateEnsemble& ensemble, Use use) {
  if (ensemble.single_precision)
    use(float{});
  else
    use(double{});
}

/// Runs the rounds first … last − 1 of a table from the states, (replicas × d), and leaves where they end.
template <class Real>
void run_on_device(const MlpFit& fit, const IterateEnsemble& ensemble, const RoundTable& table,
                   std::size_t first, std::size_t last, std::uint64_t first_replica, std::uint64_t replicas,
                   std::vector<double>& states) {
  auto setup = make_mlp_fit_setup<Real>(fit, ensemble.algorithm, ensemble.source);
  const std::vector<Real> x(fit.data().x.begin(), fit.data().x.end()),
      y(fit.data().y.begin(), fit.data().y.end());
  DeviceArray<Real> on_device_x(x), on_device_y(y);
  setup.x = on_device_x.data();
  setup.y = on_device_y.data();
  const DeviceArray<TableRound> rounds(
      std::vector<TableRound>(table.rounds.begin() + static_cast<std::ptrdiff_t>(first),
                              table.rounds.begin() + static_cast<std::ptrdiff_t>(last)));
  const DeviceArray<double> rates(table.rates);
  std::vector<Real> host(states.begin(), states.end());
  DeviceArray<Real> shared(host);
  const auto n = static_cast<std::size_t>(replicas), K = static_cast<std::size_t>(setup.workers);
  DeviceArray<Real> ends(K > 1 ? n * K * static_cast<std::size_t>(setup.dim) : 0);
  const OwnStream stream(cudaStreamDefault);
  MlpFitLaunch<Real> launch{.table = {rounds.data(), rates.data(), table.rate_stride},
                            .first_replica = first_replica,
                            .replicas = static_cast<std::int64_t>(n),
                            .states = shared.data(),
                            .ends = K > 1 ? ends.data() : shared.data()};
  const GroupMeeting<Real> meeting{.workers = setup.workers,
                                   .dim = setup.dim,
                                   .inverse_workers = setup.inverse_workers,
                                   .policy = BufferPolicy::kept,
                                   .ends = ends.data(),
                                   .states = shared.data(),
                                   .buffers = nullptr};
  allow_mlp_fit_memory(setup);
  launch_group_rounds(
      setup.workers, 0, static_cast<std::int64_t>(last - first),
      [&](std::int64_t s, std::int64_t t) {
        launch.first_round = s;
        launch.last_round = t;
        enqueue_mlp_fit_rounds(setup, launch, stream);
      },
      [&] { enqueue_mlp_fit_meetings(meeting, launch.replicas, stream); });
  stream.wait("running an ensemble of networks");
  shared.download(host.data(), host.size());
  std::copy(host.begin(), host.end(), states.begin());
}

class MlpFitKernels final : public ContinuedKernels {
 public:
  explicit MlpFitKernels(const MlpFit& fit) : fit_(fit) {}

  void check(const IterateEnsemble& ensemble) const override {
    with_precision(ensemble, [&]<class Real>(Real) {
      const std::size_t bytes = make_mlp_fit_setup<Real>(fit_, ensemble.algorithm, ensemble.source).bytes(),
                        most = most_block_bytes();
      if (bytes > most)
        throw std::invalid_argument("a worker of this network takes " + std::to_string(bytes) +
                                    " bytes of shared memory, a block has " + std::to_string(most));
    });
  }

  double bytes(const IterateEnsemble& ensemble, std::uint64_t replicas) const override {
    const double K = ensemble.algorithm.workers,
                 each = ensemble.single_precision ? sizeof(float) : sizeof(double);
    return static_cast<double>(round_table(ensemble.algorithm, ensemble.points).bytes()) +
           each * static_cast<double>(replicas) * fit_.dim() * (K > 1 ? 1 + K : 1) +
           each * static_cast<double>(fit_.data().x.size() + fit_.data().y.size());
  }

 private:
  void run_rounds(const IterateEnsemble& ensemble, const RoundTable& table, std::size_t first,
                  std::size_t last, std::uint64_t first_replica, std::uint64_t replicas,
                  std::vector<double>& states) const override {
    with_precision(ensemble, [&]<class Real>(Real) {
      run_on_device<Real>(fit_, ensemble, table, first, last, first_replica, replicas, states);
    });
  }

  MlpFit fit_;
};

}  // namespace

std::unique_ptr<EnsembleKernels> make_mlp_fit_kernels(const MlpFit& fit) {
  return std::make_unique<MlpFitKernels>(fit);
}

#else

std::unique_ptr<EnsembleKernels> make_mlp_fit_kernels(const MlpFit&) { return nullptr; }

#endif

}  // namespace slowsde
