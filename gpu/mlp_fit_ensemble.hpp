// Ensembles of iterates on multilayer perceptrons on a GPU, before the rest of the program.
#pragma once

#include <memory>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/problems/mlp.hpp"

namespace slowsde {

/// Iterates with label or minibatch noise, without momentum and SVAG: a block of threads is a worker from
/// average to average, its network in shared memory. Their states come to the host, at any record point of
/// which a run can go on. The bits are those of mlp_fit_worker.hpp on the host, hence of the CPU's iterates.
/// Null in a build without CUDA.
std::unique_ptr<EnsembleKernels> make_mlp_fit_kernels(const MlpFit& fit);

}  // namespace slowsde
