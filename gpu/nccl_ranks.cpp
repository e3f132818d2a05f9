#include "slowsde/gpu/nccl_ranks.hpp"

#include <cmath>
#include <utility>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/problems/requirement.hpp"

#if defined(SLOWSDE_NCCL)
#include <nccl.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "slowsde/gpu/bf16_kernels.hpp"
#include "slowsde/gpu/current_gpu.hpp"
#include "slowsde/gpu/device_array.hpp"
#include "slowsde/optim/meetings.hpp"
#include "slowsde/optim/rank_files.hpp"
#endif

namespace slowsde {

void NcclParams::check() const {
  using detail::require;
  require(size >= 1, "ranks", "size >= 1", size);
  require(rank >= 0 && rank < size, "ranks", "0 <= rank < size", rank);
  require(gpu >= 0, "ranks", "gpu >= 0", gpu);
  require(timeout > 0 && std::isfinite(timeout), "ranks", "0 < timeout < infinity", timeout);
  if (mpi) require(mpi->size() == size, "ranks", "size = that of MPI", size);
  if (!mpi && path.empty())
    throw std::invalid_argument("ranks: without MPI they need a path for their files");
}

#if defined(SLOWSDE_NCCL)

bool has_nccl() { return true; }

namespace {

/// Calls do not block: each is polled, so that one for which a rank is missing can be given up.
class NcclConnection {
 public:
  explicit NcclConnection(const NcclParams& params) : params_(params), gpu_(params.gpu) {
    ncclUniqueId id{};
    if (params.rank == 0) check_nccl(ncclGetUniqueId(&id), "making a unique id");
    const auto bytes = std::as_writable_bytes(std::span(&id, 1));
    if (params.mpi) {
      const std::vector<std::byte> own(bytes.begin(), params.rank == 0 ? bytes.end() : bytes.begin());
      params.mpi->all_gather(own, bytes);
      meetings_.emplace(params.mpi, params.timeout);
    } else {
      const auto files = std::make_shared<RankFiles>(params.path, params.rank, params.size);
      files->share(bytes, params.timeout);
      meetings_.emplace(files, params.timeout);
    }
    meet();
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    finish(ncclCommInitRankConfig(&connection_, params.size, id, params.rank, &config),
           "connecting the GPUs");
  }
  ~NcclConnection() { abort(); }  // at the end nothing is under way, and it waits for nobody
  NcclConnection(const NcclConnection&) = delete;
  NcclConnection& operator=(const NcclConnection&) = delete;

  const NcclParams& params() const { return params_; }
  operator ncclComm_t() const { return connection_; }

  /// Comes together with the other ranks before NCCL makes the GPU wait for them.
  void meet() { meetings_->meet(); }

  /// Waits until a call that NCCL has begun is enqueued.
  void finish(ncclResult_t status, const char* what) {
    const Meetings::Clock::time_point begin = Meetings::Clock::now();
    while (status == ncclInProgress) {
      keep_waiting(what, begin);
      status = state();
    }
    check_nccl(status, what);
  }

  /// Waits until the stream has done what was enqueued.
  void wait(cudaStream_t stream, const char* what) {
    const Meetings::Clock::time_point begin = Meetings::Clock::now();
    for (;;) {
      const cudaError_t status = cudaStreamQuery(stream);
      if (status == cudaSuccess) return;
      if (status != cudaErrorNotReady) check_cuda(status, what);
      check_nccl(state(), what);
      keep_waiting(what, begin);
    }
  }

 private:
  ncclResult_t state() const {
    ncclResult_t now = ncclInProgress;
    const ncclResult_t asked = ncclCommGetAsyncError(connection_, &now);
    return asked == ncclSuccess ? now : asked;
  }

  void keep_waiting(const char* what, Meetings::Clock::time_point begin) {
    try {
      meetings_->keep_waiting(what, begin);
    } catch (const LostRank&) {
      abort();
      throw;
    }
    std::this_thread::yield();
  }

  void check_nccl(ncclResult_t status, const char* what) {
    if (status == ncclSuccess || status == ncclInProgress) return;
    const std::string error = ncclGetErrorString(status);
    // What NCCL sees of a peer that is gone: a closed connection. All else is this rank's own.
    if (meetings_ && (status == ncclRemoteError || status == ncclSystemError)) {
      // The roll before the abort: how long that takes the other ranks do not know.
      const LostRank lost = meetings_->lost(what, error);
      abort();
      throw lost;
    }
    throw DeviceError(std::string("NCCL: ") + what + ": " + error);
  }

  void abort() {
    if (connection_) static_cast<void>(ncclCommAbort(std::exchange(connection_, nullptr)));
  }

  NcclParams params_;
  CurrentGpu gpu_;  // before NCCL binds the connection to whichever is current
  std::optional<Meetings> meetings_;
  ncclComm_t connection_ = nullptr;
};

class NcclSum final : public DeviceSum {
 public:
  explicit NcclSum(std::shared_ptr<NcclConnection> connection) : connection_(std::move(connection)) {}

  void sum(float* values, std::size_t count, std::size_t coarse, cudaStream_t stream) override {
    NcclConnection& c = *connection_;
    check_cuda(cudaStreamSynchronize(stream), "running the local steps");
    c.meet();
    if (coarse > 0) {
      if (half_.size() < coarse) half_ = DeviceArray<std::uint16_t>(coarse);
      enqueue_to_bf16(values, coarse, half_.data(), stream);
      c.finish(ncclAllReduce(half_.data(), half_.data(), coarse, ncclBfloat16, ncclSum, c, stream), what);
      enqueue_from_bf16(half_.data(), coarse, values, stream);
    }
    if (coarse < count) {
      float* const rest = values + coarse;
      c.finish(ncclAllReduce(rest, rest, count - coarse, ncclFloat32, ncclSum, c, stream), what);
    }
    c.wait(stream, what);
  }

 private:
  static constexpr const char* what = "averaging over the GPUs";
  std::shared_ptr<NcclConnection> connection_;
  DeviceArray<std::uint16_t> half_;  // (coarse): bfloat16
};

/// Messages between hosts over the GPUs' connection.
class NcclCommunicator final : public Communicator {
 public:
  explicit NcclCommunicator(std::shared_ptr<NcclConnection> connection)
      : connection_(std::move(connection)) {}

  int rank() const override { return connection_->params().rank; }
  int size() const override { return connection_->params().size; }
  void barrier() override { connection_->meet(); }

  void ordered_sum(std::span<double> sum, const Terms& add) override {
    NcclConnection& c = *connection_;
    double* const device = room<double>(sum.size());
    c.meet();
    if (rank() > 0) {
      c.finish(ncclRecv(device, sum.size(), ncclFloat64, rank() - 1, c, nullptr), what);
      c.wait(nullptr, what);
      to_host(sum.data(), device, sum.size_bytes());
    }
    add(0, sum.size());
    to_device(device, sum.data(), sum.size_bytes());
    if (rank() + 1 < size())
      c.finish(ncclSend(device, sum.size(), ncclFloat64, rank() + 1, c, nullptr), what);
    c.finish(ncclBroadcast(device, device, sum.size(), ncclFloat64, size() - 1, c, nullptr), what);
    c.wait(nullptr, what);
    to_host(sum.data(), device, sum.size_bytes());
  }

  void all_gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    NcclConnection& c = *connection_;
    // The lengths first, then each rank's part from it to all.
    std::vector<double> lengths(static_cast<std::size_t>(size()));
    ordered_sum(lengths, [&](std::size_t, std::size_t) {
      if (rank() == 0) std::fill(lengths.begin(), lengths.end(), 0.0);
      lengths[static_cast<std::size_t>(rank())] = static_cast<double>(own.size());
    });
    auto* const device = room<std::byte>(all.size());
    const auto length_of = [&](int r) {
      return static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]);
    };
    std::size_t at = 0;
    for (int r = 0; r < rank(); ++r) at += length_of(r);
    // Before any broadcast: behind one this copy would wait for the other ranks, however long they take.
    to_device(device + at, own.data(), own.size());
    at = 0;
    for (int r = 0; r < size(); ++r) {
      const std::size_t length = length_of(r);
      if (length > 0)
        c.finish(ncclBroadcast(device + at, device + at, length, ncclUint8, r, c, nullptr), what);
      at += length;
    }
    c.wait(nullptr, what);
    to_host(all.data(), device, at);
  }

 private:
  static constexpr const char* what = "exchanging numbers over the GPUs";

  template <class T>
  T* room(std::size_t count) {
    if (room_.size() < count * sizeof(T)) room_ = DeviceArray<std::byte>(count * sizeof(T));
    return reinterpret_cast<T*>(room_.data());
  }
  static void to_host(void* to, const void* from, std::size_t bytes) {
    check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copying to the host");
  }
  static void to_device(void* to, const void* from, std::size_t bytes) {
    check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copying to the device");
  }

  std::shared_ptr<NcclConnection> connection_;
  DeviceArray<std::byte> room_;
};

}  // namespace

NcclRanks make_nccl_ranks(const NcclParams& params) {
  params.check();
  const auto connection = std::make_shared<NcclConnection>(params);
  NcclRanks ranks;
  ranks.device_sum = std::make_shared<NcclSum>(connection);
  ranks.communicator =
      params.mpi ? params.mpi : std::shared_ptr<Communicator>(std::make_shared<NcclCommunicator>(connection));
  return ranks;
}

#else

bool has_nccl() { return false; }

NcclRanks make_nccl_ranks(const NcclParams& params) {
  params.check();
  throw DeviceError("this slowsde was built without NCCL");
}

#endif

}  // namespace slowsde
