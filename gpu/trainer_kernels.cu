#include "slowsde/gpu/trainer_kernels.hpp"

#include <algorithm>

#include "slowsde/gpu/cuda_check.hpp"
#include "slowsde/gpu/displacement.hpp"
#include "slowsde/gpu/update_sink.hpp"
#include "slowsde/gpu/with_formula.hpp"

namespace slowsde {
namespace {

constexpr int row_chunks = 8, row_columns = 32;

/// A block sums row_columns columns; each of its chunks of threads adds consecutive rows, then the chunks are
/// added.
template <class Real>
__global__ void sum_of_rows(const Real* rows, int count, std::int64_t stride, std::int64_t d, double* sum) {
  __shared__ double parts[row_chunks][row_columns];
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * row_columns + threadIdx.x;
  const int chunk = static_cast<int>(threadIdx.y);
  const int begin = static_cast<int>(static_cast<std::int64_t>(count) * chunk / row_chunks),
            end = static_cast<int>(static_cast<std::int64_t>(count) * (chunk + 1) / row_chunks);
  double part = 0;
  if (j < d) {
#pragma unroll 8
    for (int w = begin; w < end; ++w) part += static_cast<double>(rows[w * stride + j]);
  }
  parts[chunk][threadIdx.x] = part;
  __syncthreads();
  if (chunk != 0 || j >= d) return;
  double total = 0;
  for (int c = 0; c < row_chunks; ++c) total += parts[c][threadIdx.x];
  sum[j] = total;
}

template <class From, class Real>
__global__ void divided(const From* sum, double divisor, std::int64_t d, Real* to, int count,
                        std::int64_t stride) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= d * count) return;
  const std::int64_t c = i / d, j = i - c * d;
  to[c * stride + j] = static_cast<Real>(static_cast<double>(sum[j]) / divisor);
}

template <class Real>
__global__ void part_of_displacements(const double* own_sum, int own_workers, int workers, const Real* start,
                                      std::int64_t d, float* to) {
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < d) to[j] = part_of_displacement(own_sum[j], own_workers, workers, start[j]);
}

template <class Real>
__global__ void add_displacements(const float* displacement, std::int64_t d, Real* theta) {
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < d) theta[j] = displaced(theta[j], displacement[j]);
}

template <class Formula, class Real>
__global__ void update(UpdateSink<Formula, Real> sink, std::int64_t d, const Real* g, Real* theta) {
  const std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (j < d) sink(theta[j], g[j], static_cast<int>(j));
}

constexpr unsigned threads_per_block = 256;
unsigned blocks_for(std::int64_t count) {
  return static_cast<unsigned>((count + threads_per_block - 1) / threads_per_block);
}

}  // namespace

template <class Real>
void enqueue_sum_of_rows(const Real* rows, int count, std::int64_t stride, std::int64_t d, double* sum,
                         cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((d + row_columns - 1) / row_columns);
  sum_of_rows<<<blocks, dim3(row_columns, row_chunks), 0, stream>>>(rows, count, stride, d, sum);
  check_launch("launching the sum over the workers");
}

template <class From, class Real>
void enqueue_divided(const From* sum, double divisor, std::int64_t d, Real* to, int count,
                     std::int64_t stride, cudaStream_t stream) {
  divided<<<blocks_for(d * count), threads_per_block, 0, stream>>>(sum, divisor, d, to, count, stride);
  check_launch("launching the mean over the workers");
}

template <class Real>
void enqueue_part_of_displacement(const double* own_sum, int own_workers, int workers, const Real* start,
                                  std::int64_t d, float* to, cudaStream_t stream) {
  part_of_displacements<<<blocks_for(d), threads_per_block, 0, stream>>>(own_sum, own_workers, workers, start,
                                                                         d, to);
  check_launch("launching the displacement of the mean");
}

template <class Real>
void enqueue_displaced(const float* displacement, std::int64_t d, Real* theta, cudaStream_t stream) {
  add_displacements<<<blocks_for(d), threads_per_block, 0, stream>>>(displacement, d, theta);
  check_launch("launching the addition of the displacement");
}

template <class Real>
void enqueue_update(UpdateFormula formula, const UpdateNumbers<Real>& numbers, std::int64_t d, const Real* g,
                    Real* theta, Real* state, cudaStream_t stream) {
  with_formula(formula, [&]<class Formula>(Formula) {
    update<<<blocks_for(d), threads_per_block, 0, stream>>>(UpdateSink<Formula, Real>::of(numbers, state, d),
                                                            d, g, theta);
  });
  check_launch("launching the update of the average");
}

template void enqueue_sum_of_rows(const float*, int, std::int64_t, std::int64_t, double*, cudaStream_t);
template void enqueue_sum_of_rows(const double*, int, std::int64_t, std::int64_t, double*, cudaStream_t);
template void enqueue_divided(const double*, double, std::int64_t, float*, int, std::int64_t, cudaStream_t);
template void enqueue_divided(const double*, double, std::int64_t, double*, int, std::int64_t, cudaStream_t);
template void enqueue_divided(const float*, double, std::int64_t, float*, int, std::int64_t, cudaStream_t);
template void enqueue_divided(const float*, double, std::int64_t, double*, int, std::int64_t, cudaStream_t);
template void enqueue_part_of_displacement(const double*, int, int, const float*, std::int64_t, float*,
                                           cudaStream_t);
template void enqueue_part_of_displacement(const double*, int, int, const double*, std::int64_t, float*,
                                           cudaStream_t);
template void enqueue_displaced(const float*, std::int64_t, float*, cudaStream_t);
template void enqueue_displaced(const float*, std::int64_t, double*, cudaStream_t);
template void enqueue_update(UpdateFormula, const UpdateNumbers<float>&, std::int64_t, const float*, float*,
                             float*, cudaStream_t);
template void enqueue_update(UpdateFormula, const UpdateNumbers<double>&, std::int64_t, const double*,
                             double*, double*, cudaStream_t);

}  // namespace slowsde
