// A rank of the tests with mpirun: usage ranks hold | ranks lose HOW TIMEOUT | ranks roll TIMEOUT.
//   hold   collectives and split trainings, as the ranks within one process have them
//   lose   rank 1 is lost in the middle of a training: it stops (HOW = stop), or is killed (HOW = kill)
//   roll   rank 1 stops in the middle of a call that is not MPI's; rank 0 sees it fail, the others wait long
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "slowsde/optim/meetings.hpp"
#include "slowsde/optim/mpi_communicator.hpp"
#include "tests/support/split_training.hpp"

namespace {

using namespace slowsde;

int hold() {
  const std::shared_ptr<Communicator> ranks = make_mpi_communicator(60);
  auto broken = test::broken_collectives(*ranks, 100001);  // several blocks of the chain and a rest
  for (const std::string& line : test::broken_split_trainings(ranks)) broken.push_back(line);
  // A roll that all come to is short, and no rank leaves before it has answered.
  Meetings meetings(make_mpi_communicator(1), 1);
  for (int i = 0; i < 200 && broken.empty(); ++i) {
    meetings.meet();
    const std::string said = meetings.lost("a sum", "a network that is down").what();
    if (said != "all ranks answered after a sum failed: a network that is down") broken.push_back(said);
  }
  for (const std::string& line : broken) std::fprintf(stderr, "%s\n", line.c_str());
  if (ranks->rank() == 0 && broken.empty()) std::printf("%d ranks hold\n", ranks->size());
  return broken.empty() ? 0 : 1;
}

/// Rank 1 is lost at its third gradient.
class Fatal final : public GradientOracle<double> {
 public:
  explicit Fatal(int signal) : signal_(signal) {}
  double gradient(int, std::int64_t step, const double*, double* g) override {
    if (signal_ != 0 && step == 2) raise(signal_);
    g[0] = 1;
    return 0;
  }

 private:
  int signal_;
};

int lose(const std::string& how, double timeout) {
  const std::shared_ptr<Communicator> ranks = make_mpi_communicator(timeout);
  TrainerParams params;
  params.workers = ranks->size();
  params.rule = std::make_shared<ConstantRule>(1);
  params.total_steps = 5;
  params.update = make_update_rule("sgd", [](std::string_view, double fallback) { return fallback; });
  const int signal = ranks->rank() != 1 ? 0 : how == "kill" ? SIGKILL : SIGSTOP;
  NetworkTrainer<double> trainer(
      params, {0.0}, [signal] { return std::make_unique<Fatal>(signal); }, 1, ranks);
  try {
    while (!trainer.finished()) trainer.round();
  } catch (const LostRank& lost) {
    std::fprintf(stderr, "seen by rank %d: %s\n", ranks->rank(), lost.what());
    sleep(2);  // the other ranks see it too
    end_all_ranks(9);
  }
  return 0;
}

int roll(double timeout) {
  const std::shared_ptr<Communicator> ranks = make_mpi_communicator(timeout);
  Meetings meetings(ranks, timeout);
  meetings.meet();
  if (ranks->rank() == 1) raise(SIGSTOP);
  try {
    if (ranks->rank() == 0) throw meetings.lost("a sum", "a closed connection");
    for (const auto begin = Meetings::Clock::now();;) meetings.keep_waiting("a sum", begin);
  } catch (const LostRank& lost) {
    std::fprintf(stderr, "seen by rank %d: %s\n", ranks->rank(), lost.what());
    sleep(2);  // the other ranks see it too
    end_all_ranks(9);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "hold") return hold();
  if (what == "lose" && argc == 4) return lose(argv[2], std::atof(argv[3]));
  if (what == "roll" && argc == 3) return roll(std::atof(argv[2]));
  std::fprintf(stderr, "usage: ranks hold | ranks lose stop|kill TIMEOUT | ranks roll TIMEOUT\n");
  return 2;
}
