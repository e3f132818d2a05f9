#include "slowsde/gpu/ensemble_kernels.cuh"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"

SLOWSDE_ENSEMBLE_KERNELS(slowsde::Circle);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::CurvedValley<>);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::Ellipsoid<2>);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::Sphere<3>);
