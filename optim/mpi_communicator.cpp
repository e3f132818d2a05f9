#include "slowsde/optim/mpi_communicator.hpp"

#include <cstdlib>
#include <stdexcept>

#if defined(SLOWSDE_MPI)
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "slowsde/problems/requirement.hpp"
#endif

namespace slowsde {

#if defined(SLOWSDE_MPI)

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t block = std::size_t{1} << 15;  ///< sums that travel together
constexpr int sum_tag = 1, question_tag = 2, answer_tag = 3;

class MpiCommunicator final : public Communicator {
 public:
  explicit MpiCommunicator(double timeout) : timeout_(timeout) {
    detail::require(timeout > 0, "communicator", "timeout > 0", timeout);
    int initialised = 0;
    MPI_Initialized(&initialised);
    if (!initialised) {
      int provided = 0;
      MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
      owner_ = true;
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &data_);
    MPI_Comm_dup(MPI_COMM_WORLD, &questions_);
    MPI_Comm_set_errhandler(data_, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(questions_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(data_, &rank_);
    MPI_Comm_size(data_, &size_);
    for (int r = 0; r < size_; ++r)
      names_.push_back("rank " + std::to_string(r) + " of " + std::to_string(size_));
    struct Place {
      char host[64];
      int process;
    } own{};
    gethostname(own.host, sizeof own.host - 1);
    own.process = static_cast<int>(getpid());
    std::vector<Place> places(static_cast<std::size_t>(size_));
    all_gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(places)));
    for (int r = 0; r < size_; ++r) {
      const Place& place = places[static_cast<std::size_t>(r)];
      names_[static_cast<std::size_t>(r)] +=
          " (" + std::string(place.host) + ", process " + std::to_string(place.process) + ")";
    }
  }

  ~MpiCommunicator() override {
    // Neither call would return where a rank is lost, nor where this one ends by an exception.
    if (lost_ || std::uncaught_exceptions() > 0) return;
    MPI_Comm_free(&questions_);
    MPI_Comm_free(&data_);
    if (owner_) MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void barrier() override {
    MPI_Request request;
    check(MPI_Ibarrier(data_, &request));
    wait(request);
  }

  // The sums travel along the chain of the ranks in blocks, so that all ranks add at the same time.
  void ordered_sum(std::span<double> sum, const Terms& add) override {
    std::vector<MPI_Request> sent;
    for (std::size_t begin = 0; begin < sum.size(); begin += block) {
      const std::size_t end = std::min(begin + block, sum.size());
      const int count = static_cast<int>(end - begin);
      MPI_Request request;
      if (rank_ > 0) {
        check(MPI_Irecv(sum.data() + begin, count, MPI_DOUBLE, rank_ - 1, sum_tag, data_, &request));
        wait(request);
      }
      add(begin, end);
      if (rank_ + 1 < size_) {
        check(MPI_Isend(sum.data() + begin, count, MPI_DOUBLE, rank_ + 1, sum_tag, data_, &request));
        sent.push_back(request);
      }
    }
    for (MPI_Request& request : sent) wait(request);
    constexpr std::size_t most = std::numeric_limits<int>::max();
    for (std::size_t begin = 0; begin < sum.size(); begin += most) {
      MPI_Request request;
      check(MPI_Ibcast(sum.data() + begin, static_cast<int>(std::min(most, sum.size() - begin)), MPI_DOUBLE,
                       size_ - 1, data_, &request));
      wait(request);
    }
  }

  void all_gather(std::span<const std::byte> own, std::span<std::byte> all) override {
    detail::require(all.size() <= std::numeric_limits<int>::max(), "communicator", "bytes gathered < 2^31",
                    all.size());
    const int count = static_cast<int>(own.size());
    std::vector<int> counts(static_cast<std::size_t>(size_)), places(static_cast<std::size_t>(size_));
    MPI_Request request;
    check(MPI_Iallgather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, data_, &request));
    wait(request);
    for (std::size_t r = 1; r < counts.size(); ++r) places[r] = places[r - 1] + counts[r - 1];
    check(MPI_Iallgatherv(own.data(), count, MPI_BYTE, all.data(), counts.data(), places.data(), MPI_BYTE,
                          data_, &request));
    wait(request);
  }

  std::string absent_from_roll(double seconds) override {
    const std::string absent = silent_ranks(seconds);
    lost_ = lost_ || !absent.empty();
    return absent;
  }

  bool roll_called() override {
    int asked = 0;
    return MPI_Iprobe(MPI_ANY_SOURCE, question_tag, questions_, &asked, MPI_STATUS_IGNORE) == MPI_SUCCESS &&
           asked;
  }

 private:
  void check(int code) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    const std::string error(text, static_cast<std::size_t>(length));
    const std::string silent = silent_ranks();
    lost_ = true;
    throw LostRank(silent.empty() ? "MPI: " + error : silent + ": " + error);
  }

  void wait(MPI_Request& request) {
    const Clock::time_point begin = Clock::now();
    for (double patience = timeout_;;) {
      int done = 0;
      check(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
      if (done) return;
      answer();
      const double waited = Seconds(Clock::now() - begin).count();
      if (waited > patience) {
        const std::string silent = silent_ranks();
        if (!silent.empty()) {
          lost_ = true;
          throw LostRank(silent + " did not answer for " + std::to_string(static_cast<int>(waited)) + " s");
        }
        patience = waited + timeout_;
      }
      // Ranks that share a processor must let each other run; a short sleep costs a round nothing.
      if (waited > 1e-3)
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      else
        std::this_thread::yield();
    }
  }

  /// Tells those who ask that this rank is there.
  void answer() {
    for (;;) {
      int asked = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, question_tag, questions_, &asked, &status) != MPI_SUCCESS || !asked)
        return;
      MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, question_tag, questions_, MPI_STATUS_IGNORE);
      send_empty(status.MPI_SOURCE, answer_tag);
    }
  }

  /// Empty messages are delivered without the other's help; nobody waits for them.
  void send_empty(int to, int tag) {
    MPI_Request request;
    if (MPI_Isend(nullptr, 0, MPI_BYTE, to, tag, questions_, &request) == MPI_SUCCESS)
      MPI_Request_free(&request);
  }

  std::string silent_ranks() { return silent_ranks(std::clamp(timeout_, 0.5, 5.0)); }

  /// The names of the ranks that do not answer within `seconds`, or nothing as soon as all did.
  std::string silent_ranks(double seconds) {
    std::vector<bool> silent(static_cast<std::size_t>(size_), true);
    silent[static_cast<std::size_t>(rank_)] = false;
    int missing = size_ - 1;
    for (int r = 0; r < size_; ++r)
      if (r != rank_) send_empty(r, question_tag);
    for (const Clock::time_point begin = Clock::now();
         missing > 0 && Seconds(Clock::now() - begin).count() < seconds;) {
      answer();
      int answered = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, answer_tag, questions_, &answered, &status) == MPI_SUCCESS && answered) {
        MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, answer_tag, questions_, MPI_STATUS_IGNORE);
        auto other = silent[static_cast<std::size_t>(status.MPI_SOURCE)];
        missing -= other;
        other = false;
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    answer();  // those that ask too did so before their own answer, the last of them perhaps only now
    std::string names;
    for (std::size_t r = 0; r < silent.size(); ++r)
      if (silent[r]) names += (names.empty() ? "" : ", ") + names_[r];
    return names;
  }

  double timeout_;
  bool owner_ = false, lost_ = false;
  MPI_Comm data_ = MPI_COMM_NULL, questions_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<std::string> names_;
};

}  // namespace

bool has_mpi() { return true; }

std::unique_ptr<Communicator> make_mpi_communicator(double timeout) {
  return std::make_unique<MpiCommunicator>(timeout);
}

void end_all_ranks(int code) {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised) MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

#else

bool has_mpi() { return false; }

std::unique_ptr<Communicator> make_mpi_communicator(double) {
  throw std::runtime_error("this slowsde was built without MPI");
}

void end_all_ranks(int code) { std::_Exit(code); }

#endif

}  // namespace slowsde
