#include "slowsde/gpu/ensemble_kernels.cuh"
#include "slowsde/problems/two_valleys.hpp"

SLOWSDE_ENSEMBLE_KERNELS(slowsde::TwoValleys<1>);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::TwoValleys<2>);
