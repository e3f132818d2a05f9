// Randomness has an address. A draw is a pure function of (seed, stream, replica, worker, index), where
// index = step·components + component, and never of thread, launch, chunk or time.
//
//   bits of the Philox counter and key
//   | word        | bits  | holds                                     |
//   | counter[0]  | 0–31  | block, low half                           |
//   | counter[1]  | 0–31  | block, high half                          |
//   | counter[2]  | 0–31  | replica, low 32 bits                      |
//   | counter[3]  | 0–7   | replica, bits 32–39                       |
//   |             | 8–23  | worker                                    |
//   |             | 24–31 | stream                                    |
//   | key[0..1]   | 0–63  | seed                                      |
//
// One block is four words: two normals or uniforms in double precision (block = index/2), four in single
// (block = index/4). So steps that follow one another share blocks and no word is wasted.
#pragma once

#include <array>
#include <cstdint>

#include "slowsde/problems/philox.hpp"

namespace slowsde {

/// What a draw is for. Different streams are independent at equal addresses.
enum class Stream : std::uint8_t {
  label = 1,         ///< label noise ε
  gradient = 2,      ///< Gaussian gradient noise
  sample = 3,        ///< choice of minibatch samples
  brownian = 4,      ///< increments of an SDE
  auxiliary = 5,     ///< a stepper's further variables (signs, Lévy-area substitutes)
  initial = 6,       ///< starts, data, initial weights
  probe = 7,         ///< probes of stochastic trace estimators
  augmentation = 8,  ///< shifts and flips of images
  label_flip = 9,    ///< labels that are replaced by another class
  shuffle = 10,      ///< permutations of a data set
};

inline constexpr std::uint64_t replica_limit = std::uint64_t{1} << 40;
inline constexpr std::uint32_t worker_limit = std::uint32_t{1} << 16;

/// Counter word 3. The caller keeps replica < 2^40 and worker < 2^16; `check_address` says so once per run.
SLOWSDE_HD inline std::uint32_t address_word(Stream stream, std::uint64_t replica, std::uint32_t worker) {
  return static_cast<std::uint32_t>(replica >> 32) | (worker << 8) |
         (static_cast<std::uint32_t>(stream) << 24);
}

SLOWSDE_HD inline Philox4x32::Key address_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

SLOWSDE_HD inline std::array<std::uint32_t, 4> random_words(std::uint64_t seed, Stream stream,
                                                            std::uint64_t replica, std::uint32_t worker,
                                                            std::uint64_t block) {
  return Philox4x32::words({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                            static_cast<std::uint32_t>(replica), address_word(stream, replica, worker)},
                           address_key(seed));
}

/// Throws std::out_of_range when a run of `replicas` × `workers` would leave the address space.
void check_address(std::uint64_t replicas, std::uint64_t workers);

/// The double-precision standard normal number `index` of its stream: the same bits as in a pack.
double normal_at(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                 std::uint64_t index);

/// Uniform in (0, 1) with 52 random bits; its word is that of the normal with the same index.
double uniform_at(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                  std::uint64_t index);

/// Uniform integer in [0, n) from one 32-bit word: ⌊w·n/2³²⌋, whose bias is below n/2³².
SLOWSDE_HD inline std::uint32_t integer_from(std::uint32_t word, std::uint32_t n) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word) * n) >> 32);
}

/// That of word `index` of the stream.
SLOWSDE_HD inline std::uint32_t integer_at(std::uint64_t seed, Stream stream, std::uint64_t replica,
                                           std::uint32_t worker, std::uint64_t index, std::uint32_t n) {
  return integer_from(random_words(seed, stream, replica, worker, index / 4)[index % 4], n);
}

}  // namespace slowsde
