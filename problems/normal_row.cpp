#include "slowsde/problems/normal_row.hpp"

#include <algorithm>

namespace slowsde {
namespace {

using detail::WordLanes;

// Words of the blocks first, first + stride, …, one per lane.
void words_of_blocks(std::uint64_t first, std::uint64_t stride, std::uint64_t replica, std::uint32_t word3,
                     Philox4x32::Key key, WordLanes (&c)[1][4]) {
  const WordLanes block = first + stride * WordLanes{0, 1, 2, 3, 4, 5, 6, 7};
  c[0][0] = block & 0xffffffffu;
  c[0][1] = block >> 32;
  c[0][2] = WordLanes{} + (replica & 0xffffffffu);
  c[0][3] = WordLanes{} + word3;
  detail::philox_rounds(key, c);
}

WordLanes join64(WordLanes high, WordLanes low) { return (high << 32) | (low & 0xffffffffu); }

// normals[j] lane l: number per_block·(first + l) + j.
void normals_of_blocks(std::uint64_t first, std::uint64_t replica, std::uint32_t word3, Philox4x32::Key key,
                       Pack<double> (&normals)[2]) {
  WordLanes c[1][4];
  words_of_blocks(first, 1, replica, word3, key, c);
  WordLanes a[1] = {join64(c[0][0], c[0][1])}, b[1] = {join64(c[0][2], c[0][3])};
  Pack<double> n0[1], n1[1];
  detail::box_muller(a, b, n0, n1);
  normals[0] = n0[0];
  normals[1] = n1[0];
}

void normals_of_blocks(std::uint64_t first, std::uint64_t replica, std::uint32_t word3, Philox4x32::Key key,
                       Pack<float> (&normals)[4]) {
  // Lane l of a pack of floats is block first + l: the even blocks in the lower halves of the words.
  WordLanes even[1][4], odd[1][4];
  words_of_blocks(first, 2, replica, word3, key, even);
  words_of_blocks(first + 1, 2, replica, word3, key, odd);
  detail::WordVector<float, 16> words[4];
  for (int j = 0; j < 4; ++j) {
    words[j] = detail::bits_as<detail::WordVector<float, 16>>((odd[0][j] << 32) | (even[0][j] & 0xffffffffu));
  }
  const detail::WordVector<float, 16> a[2] = {words[0], words[2]}, b[2] = {words[1], words[3]};
  Pack<float> n0[2], n1[2];
  detail::box_muller(a, b, n0, n1);
  normals[0] = n0[0];
  normals[1] = n1[0];
  normals[2] = n0[1];
  normals[3] = n1[1];
}

}  // namespace

template <class Real>
void normal_row(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                std::uint64_t first, int count, Real* out) {
  constexpr int per_block = normals_per_block<Real>, blocks = native_width<Real>;
  constexpr std::uint64_t at_once = static_cast<std::uint64_t>(per_block) * blocks;
  const Philox4x32::Key key = address_key(seed);
  const std::uint32_t word3 = address_word(stream, replica, worker);
  const std::uint64_t last = first + static_cast<std::uint64_t>(std::max(count, 0));
  for (std::uint64_t start = first / per_block * per_block; start < last; start += at_once) {
    Pack<Real> normals[per_block];
    normals_of_blocks(start / per_block, replica, word3, key, normals);
    Real in_order[at_once];
    for (int l = 0; l < blocks; ++l)
      for (int j = 0; j < per_block; ++j) in_order[l * per_block + j] = normals[j][l];
    const std::uint64_t from = std::max(start, first), to = std::min(start + at_once, last);
    std::copy(in_order + (from - start), in_order + (to - start), out + (from - first));
  }
}

template void normal_row<double>(std::uint64_t, Stream, std::uint64_t, std::uint32_t, std::uint64_t, int,
                                 double*);
template void normal_row<float>(std::uint64_t, Stream, std::uint64_t, std::uint32_t, std::uint64_t, int,
                                float*);

}  // namespace slowsde
