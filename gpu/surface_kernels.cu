#include "slowsde/gpu/iterate_kernels.cuh"
#include "slowsde/problems/circle.hpp"
#include "slowsde/problems/curved_valley.hpp"
#include "slowsde/problems/ellipsoid.hpp"
#include "slowsde/problems/sphere.hpp"

SLOWSDE_ITERATE_KERNELS(slowsde::Circle);
SLOWSDE_ITERATE_KERNELS(slowsde::CurvedValley<>);
SLOWSDE_ITERATE_KERNELS(slowsde::Ellipsoid<2>);
SLOWSDE_ITERATE_KERNELS(slowsde::Sphere<3>);
