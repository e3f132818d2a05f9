#include "slowsde/experiments/build_info.hpp"

#include <unistd.h>
#include <slowsde_build_info.hpp>
#include <slowsde_git_hash.hpp>

#include <filesystem>
#include <fstream>

#include "slowsde/gpu/device_info.hpp"
#include "slowsde/sde/parallel.hpp"

namespace slowsde {

namespace fs = std::filesystem;

namespace {

// The value after "NAME :" in a file of the kernel.
std::string field(const fs::path& file, const std::string& name) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t colon = line.find(':');
    if (line.compare(0, name.size(), name) != 0 || colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

}  // namespace

BuildInfo build_info() {
  BuildInfo info;
  info.version = SLOWSDE_VERSION;
  info.git_hash = SLOWSDE_GIT_HASH;
  info.compiler = SLOWSDE_COMPILER;
  info.build_type = SLOWSDE_BUILD_TYPE;
  info.flags = SLOWSDE_FLAGS;
#if defined(__AVX512F__)
  info.instruction_set = "AVX-512";
  info.doubles_per_register = 8;
#elif defined(__AVX2__)
  info.instruction_set = "AVX2";
  info.doubles_per_register = 4;
#elif defined(__AVX__)
  info.instruction_set = "AVX";
  info.doubles_per_register = 4;
#elif defined(__SSE2__)
  info.instruction_set = "SSE2";
#else
  info.instruction_set = "baseline";
#endif
#if defined(SLOWSDE_CUDA)
  info.cuda = true;
#endif
#if defined(SLOWSDE_MPI)
  info.mpi = true;
#endif
#if defined(SLOWSDE_NCCL)
  info.nccl = true;
#endif
  std::error_code unknown;
  const fs::path program = fs::read_symlink("/proc/self/exe", unknown);
  if (!unknown) {
    const fs::path share = program.parent_path().parent_path() / "share/slowsde";
    info.plot_folders.push_back((share / "plots").string());
    info.peer_folders.push_back((share / "peers").string());
  }
  info.plot_folders.push_back(SLOWSDE_INSTALLED_PLOTS);
  info.plot_folders.push_back(SLOWSDE_SOURCE_PLOTS);
  info.peer_folders.push_back(SLOWSDE_INSTALLED_PEERS);
  info.peer_folders.push_back(SLOWSDE_SOURCE_PEERS);
  return info;
}

Hardware hardware() {
  Hardware machine;
  machine.cpu = field("/proc/cpuinfo", "model name");
  if (machine.cpu.empty()) machine.cpu = "unknown";
  machine.cores = available_threads();
  machine.memory_bytes =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) machine.features.push_back("SSE4.2");
  if (__builtin_cpu_supports("avx")) machine.features.push_back("AVX");
  if (__builtin_cpu_supports("avx2")) machine.features.push_back("AVX2");
  if (__builtin_cpu_supports("fma")) machine.features.push_back("FMA");
  if (__builtin_cpu_supports("avx512f")) machine.features.push_back("AVX-512F");
  if (__builtin_cpu_supports("avx512dq")) machine.features.push_back("AVX-512DQ");
#endif
  const GpuReport report = find_gpus();
  for (const Gpu& gpu : report.gpus) machine.gpus.push_back(gpu.description());
#if !defined(SLOWSDE_CUDA)
  std::error_code none;
  for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", none)) {
    machine.gpus.push_back(field(gpu.path() / "information", "Model"));
  }
#endif
  if (machine.gpus.empty()) machine.why_no_gpu = report.why_none;
  return machine;
}

}  // namespace slowsde
