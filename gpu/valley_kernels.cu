#include "slowsde/gpu/iterate_kernels.cuh"
#include "slowsde/problems/user_valley.hpp"
#include "slowsde/problems/valley.hpp"

SLOWSDE_ITERATE_KERNELS(slowsde::Valley);
SLOWSDE_ITERATE_KERNELS(slowsde::UserValley<slowsde::SineSteepness>);
SLOWSDE_ITERATE_KERNELS(slowsde::UserValley<slowsde::QuadraticSteepness>);
