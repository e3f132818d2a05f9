// Ranks that can do nothing but see the same files, as under torchrun or Slurm: the first message from rank
// 0, and who has come how far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace slowsde {

class RankFiles {
 public:
  /// All files begin with `path`, whose folder exists on every machine. The path is one run's alone: a file
  /// that is there already is another run's. Throws std::invalid_argument unless 0 <= rank < size.
  RankFiles(std::string path, int rank, int size);
  /// Comes to all meetings. Rank 0 waits a little for the others to do so and removes the files. Where an
  /// exception ends the rank it comes to none, so that the others name it, and the files stay.
  ~RankFiles();
  RankFiles(const RankFiles&) = delete;
  RankFiles& operator=(const RankFiles&) = delete;

  /// bytes of rank 0 on all ranks. Throws std::runtime_error when rank 0 finds its file there already, and on
  /// the others LostRank when it does not appear within `timeout` seconds.
  void share(std::span<std::byte> bytes, double timeout);

  /// The meeting at which the ranks count who is left; it comes after all others.
  static constexpr std::uint64_t roll_call = std::uint64_t{1} << 63;

  /// Says that this rank has come to meeting number `count`.
  void arrive(std::uint64_t count);
  /// The ranks that have not come to that meeting, with the machine and process they named when they came to
  /// one before: "rank 2 of 4 (node7, process 12345)"; empty if all have.
  std::string absent(std::uint64_t count) const;
  /// Whether another rank is at exactly that meeting.
  bool reached_by_another(std::uint64_t count) const;

 private:
  /// What a rank said last; at = 0 where it never came.
  struct Place {
    std::uint64_t at = 0;
    std::string host, process;
  };
  std::string file_of(int rank) const;
  Place place_of(int rank) const;

  std::string path_;
  int rank_, size_;
  bool own_ = true;  // whether the files are this run's
};

}  // namespace slowsde
