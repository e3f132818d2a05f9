// Random words, uniforms, integers and normals for a whole pack of replicas at once, and for several workers
// side by side: independent generator chains in one basic block hide the latency of the multiplications.
#pragma once

#include <array>
#include <cstdint>

#include "slowsde/problems/pack_math.hpp"
#include "slowsde/problems/random_address.hpp"

namespace slowsde {

/// Normals (or uniforms) that one block of four words yields.
template <class Real>
inline constexpr int normals_per_block = sizeof(Real) == 8 ? 2 : 4;

namespace detail {

/// Eight random words, one per 64-bit lane; the upper halves hold garbage until a word is taken out.
using WordLanes = typename VectorOf<std::uint64_t, 8>::type;

#if SLOWSDE_VECTORS

/// Product of the lower halves of each lane.
SLOWSDE_INLINE WordLanes multiply_low_halves(WordLanes a, std::uint32_t b) {
#if defined(__AVX512F__)
  return bits_as<WordLanes>(
      _mm512_mul_epu32(bits_as<__m512i>(a), _mm512_set1_epi64(static_cast<long long>(b))));
#elif defined(__AVX2__)
  struct Halves {
    __m256i low, high;
  } h = bits_as<Halves>(a);
  const __m256i factor = _mm256_set1_epi64x(static_cast<long long>(b));
  h.low = _mm256_mul_epu32(h.low, factor);
  h.high = _mm256_mul_epu32(h.high, factor);
  return bits_as<WordLanes>(h);
#else
  return (a & 0xffffffffu) * static_cast<std::uint64_t>(b);
#endif
}

/// Philox words for `Chains` counters of eight lanes each, in place of the counters.
template <int Chains>
SLOWSDE_INLINE void philox_rounds(Philox4x32::Key key, WordLanes (&c)[Chains][4]) {
  SLOWSDE_UNROLL(16)
  for (int round = 0; round < Philox4x32::rounds; ++round) {
    SLOWSDE_UNROLL(16)
    for (int g = 0; g < Chains; ++g) {
      const WordLanes p0 = multiply_low_halves(c[g][0], Philox4x32::multiplier[0]);
      const WordLanes p1 = multiply_low_halves(c[g][2], Philox4x32::multiplier[1]);
      c[g][0] = (p1 >> 32) ^ c[g][1] ^ static_cast<std::uint64_t>(key[0]);
      c[g][1] = p1;
      c[g][2] = (p0 >> 32) ^ c[g][3] ^ static_cast<std::uint64_t>(key[1]);
      c[g][3] = p0;
    }
    key[0] += Philox4x32::weyl[0];
    key[1] += Philox4x32::weyl[1];
  }
}

/// Philox words for `Chains` addresses; lanes differ in counter word 2 (the replica).
template <int Chains>
SLOWSDE_INLINE void philox_lanes(const std::uint64_t (&block)[Chains], const WordLanes (&replica)[Chains],
                                 const std::uint32_t (&word3)[Chains], Philox4x32::Key key,
                                 WordLanes (&c)[Chains][4]) {
  SLOWSDE_UNROLL(16)
  for (int g = 0; g < Chains; ++g) {
    c[g][0] = WordLanes{} + (block[g] & 0xffffffffu);
    c[g][1] = WordLanes{} + (block[g] >> 32);
    c[g][2] = replica[g];
    c[g][3] = WordLanes{} + word3[g];
  }
  philox_rounds(key, c);
}

#endif

/// Box–Muller in double precision from two 64-bit words per lane, for `Chains` independent packs step by
/// step: a single chain waits for its own latencies, several side by side keep the pipes busy.
///   u ∈ (0, 1) and the quarter-turn angle have 52 random bits; the two top bits of b choose the quadrant,
///   the others the angle in [−π/4, π/4) about its axis.
template <int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void box_muller(const WordVector<double, W> (&a)[Chains],
                                          const WordVector<double, W> (&b)[Chains],
                                          Pack<double, W> (&n0)[Chains], Pack<double, W> (&n1)[Chains]) {
  using P = Pack<double, W>;
  using Words = WordVector<double, W>;
  using Ints = IntVector<double, W>;
  const auto unit = [](Words w) __attribute__((always_inline)) {  // a number in [1, 2)
    return P(bits_as<typename P::Vector>((w >> 12) | std::uint64_t{0x3ff0000000000000}));
  };
  P radius[Chains], s[Chains], c[Chains];
  SLOWSDE_EACH(g, Chains) radius[g] = unit(a[g]) - P(1.0 - 0x1p-53);
  radius_of(radius);
  SLOWSDE_EACH(g, Chains) s[g] = (unit(b[g] << 2) - P(1.5)) * P(1.5707963267948966);
  sin_cos_reduced(s, c);
  SLOWSDE_EACH(g, Chains) {
    const Ints q = bits_as<Ints>(b[g] >> 62);
    const Mask<double, W> swapped{(q & 1) != 0};
    const Words sign_c = bits_as<Words>(((q + 1) >> 1) & 1) << 63;  // quadrants 1 and 2
    const Words sign_s = bits_as<Words>(q >> 1) << 63;              // quadrants 2 and 3
    const P x = select(swapped, s[g], c[g]), y = select(swapped, c[g], s[g]);
    n0[g] = radius[g] * P(bits_as<typename P::Vector>(bits_as<Words>(x.v) ^ sign_c));
    n1[g] = radius[g] * P(bits_as<typename P::Vector>(bits_as<Words>(y.v) ^ sign_s));
  }
}

/// The same in single precision from two 32-bit words per lane: u ∈ (0, 1] from 32 bits, the angle from 23.
template <int W, int Chains>
SLOWSDE_HD SLOWSDE_INLINE void box_muller(const WordVector<float, W> (&a)[Chains],
                                          const WordVector<float, W> (&b)[Chains],
                                          Pack<float, W> (&n0)[Chains], Pack<float, W> (&n1)[Chains]) {
  using P = Pack<float, W>;
  using Words = WordVector<float, W>;
  P radius[Chains], s[Chains], c[Chains];
  SLOWSDE_EACH(g, Chains)
  radius[g] = fma(P(converted<typename P::Vector>(a[g])), P(0x1p-32), P(0x1p-33));
  radius_of(radius);
  SLOWSDE_EACH(g, Chains) {
    const Words fraction = (b[g] << 2) >> 9 | 0x3f800000u;
    s[g] = (P(bits_as<typename P::Vector>(fraction)) - P(1.5 - 0x1p-24)) * P(1.5707963267948966);
  }
  sin_cos_reduced(s, c);
  SLOWSDE_EACH(g, Chains) {
    const Words q = b[g] >> 30;
    const Mask<float, W> swapped{(bits_as<IntVector<float, W>>(q) & 1) != 0};
    const Words sign_c = ((q + 1) >> 1) << 31;
    const Words sign_s = (q >> 1) << 31;
    const P x = select(swapped, s[g], c[g]), y = select(swapped, c[g], s[g]);
    n0[g] = radius[g] * P(bits_as<typename P::Vector>(bits_as<Words>(x.v) ^ sign_c));
    n1[g] = radius[g] * P(bits_as<typename P::Vector>(bits_as<Words>(y.v) ^ sign_s));
  }
}

/// values[i] without an address: an array that is indexed at run time would not stay in a GPU's registers.
template <class Array>
SLOWSDE_HD SLOWSDE_INLINE auto element_of_two(const Array& values, std::uint64_t i) {
  return i == 0 ? values[0] : values[1];
}
template <class Array>
SLOWSDE_HD SLOWSDE_INLINE auto element_of_four(const Array& values, std::uint64_t i) {
  return i < 2 ? (i == 0 ? values[0] : values[1]) : (i == 2 ? values[2] : values[3]);
}

}  // namespace detail

/// The addresses of one pack of replicas in one stream: lane l is replica `first_replica` + l.
template <class Real, int W = native_width<Real>>
class RandomPack;

#if SLOWSDE_VECTORS

template <class Real, int W>
class RandomPack {
 public:
  static constexpr int width = W;
  static constexpr int per_block = normals_per_block<Real>;
  using P = Pack<Real, width>;

  RandomPack(std::uint64_t seed, Stream stream, std::uint64_t first_replica)
      : key_(address_key(seed)), stream_(stream) {
    // Single precision keeps the even replicas in one set of 64-bit lanes and the odd ones in another.
    constexpr int sets = static_cast<int>(sizeof(replica_) / sizeof(replica_[0]));
    for (int set = 0; set < sets; ++set)
      for (int l = 0; l < 8; ++l)
        replica_[set][l] = (first_replica + static_cast<std::uint64_t>(sets * l + set)) & 0xffffffffu;
    high_word_ = address_word(stream, first_replica, 0);
  }

  /// Normals of `block` for the workers first_worker … first_worker + Workers − 1: out[g][j] is number
  /// per_block·block + j of worker first_worker + g.
  template <int Workers>
  SLOWSDE_INLINE void normals(std::uint32_t first_worker, std::uint64_t block,
                              P (&out)[Workers][per_block]) const {
    std::uint64_t blocks[Workers];
    std::uint32_t workers[Workers];
    for (int g = 0; g < Workers; ++g) {
      blocks[g] = block;
      workers[g] = first_worker + static_cast<std::uint32_t>(g);
    }
    side_by_side(workers, blocks, out);
  }

  /// Normals of the blocks first_block … first_block + Blocks − 1 of one worker: out[g][j] is number
  /// per_block·(first_block + g) + j.
  template <int Blocks>
  SLOWSDE_INLINE void consecutive_normals(std::uint32_t worker, std::uint64_t first_block,
                                          P (&out)[Blocks][per_block]) const {
    std::uint64_t blocks[Blocks];
    std::uint32_t workers[Blocks];
    for (int g = 0; g < Blocks; ++g) {
      blocks[g] = first_block + static_cast<std::uint64_t>(g);
      workers[g] = worker;
    }
    side_by_side(workers, blocks, out);
  }

  /// Normal number `index` of one worker, in a pack; for places where speed does not matter.
  P normal(std::uint32_t worker, std::uint64_t index) const {
    P out[1][per_block];
    normals<1>(worker, index / per_block, out);
    return out[0][index % per_block];
  }

  /// Uniform integers in [0, n), one per lane: ⌊w·n/2³²⌋ of word `index`, as `integer_at`.
  SLOWSDE_INLINE IndexPack<width> integers(std::uint32_t worker, std::uint64_t index, std::uint32_t n) const {
    constexpr int sets = static_cast<int>(sizeof(replica_) / sizeof(replica_[0]));
    detail::WordLanes replica[sets], c[sets][4];
    std::uint32_t word3[sets];
    for (int set = 0; set < sets; ++set) {
      replica[set] = replica_[set];
      word3[set] = worker_word(worker);
    }
    std::uint64_t block[sets];
    for (int set = 0; set < sets; ++set) block[set] = index / 4;
    detail::philox_lanes(block, replica, word3, key_, c);
    IndexPack<width> result;
    for (int set = 0; set < sets; ++set) {
      const detail::WordLanes scaled = detail::multiply_low_halves(c[set][index % 4], n) >> 32;
      for (int l = 0; l < 8; ++l) result.v[sets * l + set] = static_cast<std::int32_t>(scaled[l]);
    }
    return result;
  }

 private:
  /// Normals of `Chains` independent (worker, block) addresses.
  template <int Chains>
  SLOWSDE_INLINE void side_by_side(const std::uint32_t (&worker)[Chains],
                                   const std::uint64_t (&block)[Chains], P (&out)[Chains][per_block]) const {
    if constexpr (sizeof(Real) == 8) {
      detail::WordLanes replica[Chains], c[Chains][4];
      std::uint32_t word3[Chains];
      for (int g = 0; g < Chains; ++g) {
        replica[g] = replica_[0];
        word3[g] = worker_word(worker[g]);
      }
      detail::philox_lanes(block, replica, word3, key_, c);
      detail::WordLanes a[Chains], b[Chains];
      P n0[Chains], n1[Chains];
      SLOWSDE_EACH(g, Chains) {
        a[g] = join64(c[g][0], c[g][1]);
        b[g] = join64(c[g][2], c[g][3]);
      }
      detail::box_muller(a, b, n0, n1);
      SLOWSDE_EACH(g, Chains) {
        out[g][0] = n0[g];
        out[g][1] = n1[g];
      }
    } else {
      detail::WordLanes replica[2 * Chains], c[2 * Chains][4];
      std::uint64_t blocks[2 * Chains];
      std::uint32_t word3[2 * Chains];
      for (int g = 0; g < 2 * Chains; ++g) {
        replica[g] = replica_[g % 2];
        blocks[g] = block[g / 2];
        word3[g] = worker_word(worker[g / 2]);
      }
      detail::philox_lanes(blocks, replica, word3, key_, c);
      detail::WordVector<float, 16> a[2 * Chains], b[2 * Chains];
      P n0[2 * Chains], n1[2 * Chains];
      SLOWSDE_EACH(g, 2 * Chains) {
        const auto* even = c[g & ~1];
        const auto* odd = c[g | 1];
        const int first = 2 * (g % 2);
        a[g] = join32(even[first], odd[first]);
        b[g] = join32(even[first + 1], odd[first + 1]);
      }
      detail::box_muller(a, b, n0, n1);
      SLOWSDE_EACH(g, 2 * Chains) {
        out[g / 2][2 * (g % 2)] = n0[g];
        out[g / 2][2 * (g % 2) + 1] = n1[g];
      }
    }
  }

  std::uint32_t worker_word(std::uint32_t worker) const { return high_word_ | (worker << 8); }
  static SLOWSDE_INLINE detail::WordLanes join64(detail::WordLanes high, detail::WordLanes low) {
    return (high << 32) | (low & 0xffffffffu);
  }
  static SLOWSDE_INLINE detail::WordVector<float, 16> join32(detail::WordLanes even, detail::WordLanes odd) {
    return detail::bits_as<detail::WordVector<float, 16>>((odd << 32) | (even & 0xffffffffu));
  }

  Philox4x32::Key key_;
  Stream stream_;
  std::uint32_t high_word_;
  detail::WordLanes replica_[sizeof(Real) == 8 ? 1 : 2];
};

#endif

/// One replica alone: the numbers of its lane in any pack.
template <class Real>
class RandomPack<Real, 1> {
 public:
  static constexpr int width = 1, per_block = normals_per_block<Real>;
  using P = Pack<Real, 1>;

  SLOWSDE_HD RandomPack(std::uint64_t seed, Stream stream, std::uint64_t replica)
      : key_(address_key(seed)),
        low_word_(static_cast<std::uint32_t>(replica)),
        high_word_(address_word(stream, replica, 0)) {}

  template <int Workers>
  SLOWSDE_HD SLOWSDE_INLINE void normals(std::uint32_t first_worker, std::uint64_t block,
                                         P (&out)[Workers][per_block]) const {
    for (int g = 0; g < Workers; ++g) of_block(first_worker + static_cast<std::uint32_t>(g), block, out[g]);
  }
  template <int Blocks>
  SLOWSDE_HD SLOWSDE_INLINE void consecutive_normals(std::uint32_t worker, std::uint64_t first_block,
                                                     P (&out)[Blocks][per_block]) const {
    for (int g = 0; g < Blocks; ++g) of_block(worker, first_block + static_cast<std::uint64_t>(g), out[g]);
  }
  SLOWSDE_HD SLOWSDE_INLINE IndexPack<1> integers(std::uint32_t worker, std::uint64_t index,
                                                  std::uint32_t n) const {
    const std::uint64_t word = detail::element_of_four(words(worker, index / 4), index % 4);
    return IndexPack<1>(static_cast<std::int32_t>((word * n) >> 32));
  }

 private:
  SLOWSDE_HD SLOWSDE_INLINE Philox4x32::Counter words(std::uint32_t worker, std::uint64_t block) const {
    return Philox4x32::words({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                              low_word_, high_word_ | (worker << 8)},
                             key_);
  }
  SLOWSDE_HD SLOWSDE_INLINE void of_block(std::uint32_t worker, std::uint64_t block,
                                          P (&out)[per_block]) const {
    constexpr int chains = per_block / 2;
    const Philox4x32::Counter w = words(worker, block);
    detail::WordVector<Real, 1> a[chains], b[chains];
    P n0[chains], n1[chains];
    if constexpr (sizeof(Real) == 8) {
      a[0] = (static_cast<std::uint64_t>(w[0]) << 32) | w[1];
      b[0] = (static_cast<std::uint64_t>(w[2]) << 32) | w[3];
    } else {
      a[0] = w[0], b[0] = w[1];
      a[1] = w[2], b[1] = w[3];
    }
    detail::box_muller(a, b, n0, n1);
    SLOWSDE_EACH(g, chains) {
      out[2 * g] = n0[g];
      out[2 * g + 1] = n1[g];
    }
  }

  Philox4x32::Key key_;
  std::uint32_t low_word_, high_word_;
};

/// use(i, normal number first + i) for i < count, shared among threads: each takes whole blocks of normals.
template <class Real, class Use>
SLOWSDE_HD SLOWSDE_INLINE void share_normals(const RandomPack<Real, 1>& random, std::uint32_t worker,
                                             std::uint64_t first, std::uint64_t count, int thread,
                                             int threads, Use use) {
  constexpr int per_block = normals_per_block<Real>;
  const std::uint64_t last = first + count;
  for (std::uint64_t block = first / per_block + static_cast<std::uint64_t>(thread); block * per_block < last;
       block += static_cast<std::uint64_t>(threads)) {
    Pack<Real, 1> normals[1][per_block];
    random.template normals<1>(worker, block, normals);
    SLOWSDE_UNROLL(4)
    for (int j = 0; j < per_block; ++j) {
      const std::uint64_t index = block * per_block + static_cast<std::uint64_t>(j);
      if (index >= first && index < last) use(static_cast<int>(index - first), normals[0][j].v);
    }
  }
}

}  // namespace slowsde
