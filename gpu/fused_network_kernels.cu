#include "slowsde/gpu/fused_kernels.cuh"

namespace slowsde {

template void enqueue_fused_steps<float, false>(const FusedSteps<float>&, UpdateFormula, cudaStream_t);
template void enqueue_fused_steps<double, false>(const FusedSteps<double>&, UpdateFormula, cudaStream_t);

}  // namespace slowsde
