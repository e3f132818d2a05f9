#include "slowsde/gpu/iterate_kernels.cuh"
#include "slowsde/problems/two_valleys.hpp"

SLOWSDE_ITERATE_KERNELS(slowsde::TwoValleys<1>);
SLOWSDE_ITERATE_KERNELS(slowsde::TwoValleys<2>);
