#include "slowsde/optim/rank_files.hpp"

#include <unistd.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "slowsde/optim/communicator.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

namespace fs = std::filesystem;

/// Nobody ever sees a part of the file.
void write_whole(const std::string& file, const std::string& text) {
  const std::string part = file + ".part";
  {
    std::ofstream out(part, std::ios::binary | std::ios::trunc);
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    if (!out.flush()) throw std::runtime_error("ranks: " + part + " can not be written");
  }
  fs::rename(part, file);
}

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

RankFiles::RankFiles(std::string path, int rank, int size)
    : path_(std::move(path)), rank_(rank), size_(size) {
  detail::require(size >= 1, "ranks", "size >= 1", size);
  detail::require(rank >= 0 && rank < size, "ranks", "0 <= rank < size", rank);
}

RankFiles::~RankFiles() {
  constexpr std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
  if (!own_ || std::uncaught_exceptions() > 0) return;
  try {
    arrive(all);
    if (rank_ != 0) return;
    for (int tries = 0; tries < 100 && !absent(all).empty(); ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    fs::remove(path_);
    for (int r = 0; r < size_; ++r) fs::remove(file_of(r));
  } catch (const std::exception&) {
    // files that stay are no reason to end a run with an error
  }
}

std::string RankFiles::file_of(int rank) const { return path_ + ".rank" + std::to_string(rank); }

void RankFiles::share(std::span<std::byte> bytes, double timeout) {
  if (rank_ == 0) {
    own_ = !fs::exists(path_);
    if (!own_)
      throw std::runtime_error("ranks: " + path_ + " is there already; every run needs a name of its own");
    write_whole(path_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  while (!fs::exists(path_)) {
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > timeout)
      throw LostRank("rank 0 of " + std::to_string(size_) + " did not write " + path_ + " for " +
                     std::to_string(static_cast<int>(timeout)) + " s");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  std::ifstream in(path_, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
    throw std::runtime_error("ranks: " + path_ + " is shorter than what rank 0 writes");
}

void RankFiles::arrive(std::uint64_t count) {
  write_whole(file_of(rank_),
              std::to_string(count) + " " + host_name() + " " + std::to_string(getpid()) + "\n");
}

RankFiles::Place RankFiles::place_of(int rank) const {
  std::ifstream in(file_of(rank));
  Place place;
  return in >> place.at >> place.host >> place.process ? place : Place{};
}

std::string RankFiles::absent(std::uint64_t count) const {
  std::string names;
  for (int r = 0; r < size_; ++r) {
    const Place place = place_of(r);
    if (place.at >= count) continue;
    names += (names.empty() ? "rank " : ", rank ") + std::to_string(r) + " of " + std::to_string(size_);
    if (place.at > 0) names += " (" + place.host + ", process " + place.process + ")";
  }
  return names;
}

bool RankFiles::reached_by_another(std::uint64_t count) const {
  for (int r = 0; r < size_; ++r)
    if (r != rank_ && place_of(r).at == count) return true;
  return false;
}

}  // namespace slowsde
