// Consecutive normals of one replica and worker: lanes run along the index, where RandomPack's run along the
// replicas. The values are the same.
#pragma once

#include <cstdint>

#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

/// out[k] = normal number first + k of (seed, stream, replica, worker), k < count; the bits of `normal_at` in
/// double precision, of RandomPack<float> in single.
template <class Real>
void normal_row(std::uint64_t seed, Stream stream, std::uint64_t replica, std::uint32_t worker,
                std::uint64_t first, int count, Real* out);

extern template void normal_row<double>(std::uint64_t, Stream, std::uint64_t, std::uint32_t, std::uint64_t,
                                        int, double*);
extern template void normal_row<float>(std::uint64_t, Stream, std::uint64_t, std::uint32_t, std::uint64_t,
                                       int, float*);

}  // namespace slowsde
