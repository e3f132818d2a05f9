// What this slowsde was built from and what it runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slowsde {

struct BuildInfo {
  std::string version;
  std::string
      git_hash;  ///< 40 digits, "-dirty" appended where the tree had changes; "unknown" outside a repository
  std::string compiler, build_type, flags;
  std::string instruction_set;  ///< of the vector registers the step loops were compiled for
  int doubles_per_register = 2;
  bool cuda = false, mpi = false, nccl = false;
  std::vector<std::string>
      plot_folders;  ///< where plot.py may lie: installed beside the program, installed, source
  std::vector<std::string> peer_folders;  ///< the same for the peers of `slowsde bench`
};

BuildInfo build_info();

struct Hardware {
  std::string cpu;                    ///< model name
  int cores = 1;                      ///< processors this process may use
  std::uint64_t memory_bytes = 0;     ///< physical memory
  std::vector<std::string> features;  ///< vector instruction sets of the CPU
  std::vector<std::string> gpus;  ///< NVIDIA GPUs: those to compute on, or without CUDA the driver's names
  std::string why_no_gpu;         ///< empty where there are some
};

Hardware hardware();

}  // namespace slowsde
