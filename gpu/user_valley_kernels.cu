#include "slowsde/gpu/ensemble_kernels.cuh"
#include "slowsde/problems/user_valley.hpp"

SLOWSDE_ENSEMBLE_KERNELS(slowsde::UserValley<slowsde::SineSteepness>);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::UserValley<slowsde::QuadraticSteepness>);
