#include "slowsde/gpu/mlp_fit_ensemble.hpp"

#if defined(SLOWSDE_CUDA)

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "slowsde/gpu/block_memory.hpp"
#include "slowsde/gpu/continued_kernels.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/gpu/mlp_fit_kernels.hpp"
#include "slowsde/gpu/own_stream.hpp"

#endif

namespace slowsde {

#if defined(SLOWSDE_CUDA)

namespace {

template <class Use>
void with_precision(const IterateEnsemble& ensemble, Use use) {
  if (ensemble.single_precision)
    use(float{});
  else
    use(double{});
}

/// A data set on the device.
template <class Real>
struct DeviceData {
  DeviceArray<Real> x, y;

  explicit DeviceData(const Dataset& data)
      : x(std::vector<Real>(data.x.begin(), data.x.end())),
        y(std::vector<Real>(data.y.begin(), data.y.end())) {}
  void give(MlpFitLayout<Real>& layout) const {
    layout.x = x.data();
    layout.y = y.data();
  }
};

/// Runs the rounds first … last − 1 of a table from the states, (replicas × d), and leaves where they end.
template <class Real>
void run_on_device(const MlpFit& fit, const IterateEnsemble& ensemble, const RoundTable& table,
                   std::size_t first, std::size_t last, std::uint64_t first_replica, std::uint64_t replicas,
                   std::vector<double>& states) {
  auto setup = make_mlp_fit_setup<Real>(fit, ensemble.algorithm, ensemble.source);
  const DeviceData<Real> data(fit.data());
  data.give(setup);
  const DeviceArray<TableRound> rounds(
      std::vector<TableRound>(table.rounds.begin() + static_cast<std::ptrdiff_t>(first),
                              table.rounds.begin() + static_cast<std::ptrdiff_t>(last)));
  const DeviceArray<double> rates(table.rates);
  const auto d = static_cast<std::size_t>(setup.dim), K = static_cast<std::size_t>(setup.workers);
  const std::uint64_t most =
      std::min(replicas, replicas_with_room(d * (K > 1 ? 1 + K : 1) * sizeof(Real), setup.workers));
  DeviceArray<Real> shared(most * d), ends(K > 1 ? most * K * d : 0);
  std::vector<Real> host;
  allow_mlp_fit_memory(setup);
  const OwnStream stream(cudaStreamDefault);
  for (std::uint64_t begin = 0; begin < replicas; begin += most) {
    const std::uint64_t n = std::min(most, replicas - begin);
    const auto of_chunk = states.begin() + static_cast<std::ptrdiff_t>(begin * d);
    host.assign(of_chunk, of_chunk + static_cast<std::ptrdiff_t>(n * d));
    shared.upload(host.data(), host.size());
    MlpFitLaunch<Real> launch{.table = {rounds.data(), rates.data(), table.rate_stride},
                              .first_replica = first_replica + begin,
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
    std::copy(host.begin(), host.end(), of_chunk);
  }
}

/// Steps after which a flow is left to the CPU: one that is nearly stuck would hold the device for long.
constexpr int most_flow_steps = 2000;

/// Of a state on the device.
std::size_t bytes_of_flow(const MlpFitFlowSetup& setup) {
  return (static_cast<std::size_t>(setup.dim) + setup.workspace()) * sizeof(double) + sizeof(MlpFitFlowEnd);
}

/// Φ of the states, (count × d), as many at a time as there is memory for.
void flow_on_device(const MlpFit& fit, std::uint64_t count, double* states, FlowEnd* ends) {
  MlpFitFlowSetup setup = make_mlp_fit_flow(fit, {.max_steps = most_flow_steps});
  const DeviceData<double> data(fit.data());
  data.give(setup);
  const auto d = static_cast<std::size_t>(setup.dim);
  const std::uint64_t most = std::min(count, replicas_with_room(bytes_of_flow(setup), 1));
  DeviceArray<double> on_device(most * d), workspace(most * setup.workspace());
  DeviceArray<MlpFitFlowEnd> ended(most);
  std::vector<MlpFitFlowEnd> host(most);
  allow_mlp_fit_memory(setup);
  const OwnStream stream(cudaStreamDefault);
  for (std::uint64_t begin = 0; begin < count; begin += most) {
    const std::uint64_t n = std::min(most, count - begin);
    on_device.upload(states + begin * d, n * d);
    enqueue_mlp_fit_flows(setup, static_cast<std::int64_t>(n), on_device.data(), ended.data(),
                          workspace.data(), stream);
    stream.wait("running the gradient flows of an ensemble of networks");
    on_device.download(states + begin * d, n * d);
    ended.download(host.data(), n);
    for (std::uint64_t i = 0; i < n; ++i) ends[begin + i] = {host[i].residual, host[i].converged != 0};
  }
}

class MlpFitKernels final : public ContinuedKernels {
 public:
  explicit MlpFitKernels(const MlpFit& fit) : fit_(fit) {}

  bool flows() const override {
    try {
      return make_mlp_fit_flow(fit_, {}).bytes() <= most_block_bytes();
    } catch (const std::invalid_argument&) {
      return false;
    }
  }
  double flow_bytes(std::uint64_t count) const override {
    return static_cast<double>(count) * static_cast<double>(bytes_of_flow(make_mlp_fit_flow(fit_, {})));
  }
  void flow(std::uint64_t count, double* states, FlowEnd* ends) const override {
    flow_on_device(fit_, count, states, ends);
  }

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
