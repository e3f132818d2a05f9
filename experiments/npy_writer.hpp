// Arrays as NumPy reads them (format 1.0 of .npy), for the peers of the benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

#include "slowsde/experiments/errors.hpp"

namespace slowsde {

/// Writes a row-major array of 4- or 8-byte numbers. Throws IoError if the file can not be written.
template <class T>
void write_npy(const std::filesystem::path& path, const std::vector<T>& values,
               const std::vector<std::size_t>& shape) {
  static_assert(std::is_floating_point_v<T> || std::is_integral_v<T>);
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  std::string sizes;
  for (const std::size_t size : shape) sizes += std::to_string(size) + ", ";
  std::string header = std::string("{'descr': '<") + (std::is_integral_v<T> ? 'i' : 'f') +
                       std::to_string(sizeof(T)) + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
  header += std::string(63 - (10 + header.size()) % 64, ' ') + '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  std::ofstream file(path, std::ios::binary);
  file.write("\x93NUMPY\x01\x00", 8);
  file.put(static_cast<char>(length & 0xff)).put(static_cast<char>(length >> 8));
  file << header;
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
  if (!file.flush()) throw IoError("can not write " + path.string());
}

}  // namespace slowsde
