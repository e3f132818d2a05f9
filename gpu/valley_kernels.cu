#include "slowsde/problems/valley.hpp"

#include "slowsde/gpu/ensemble_kernels.cuh"

SLOWSDE_ENSEMBLE_KERNELS(slowsde::Valley);
