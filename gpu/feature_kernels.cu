#include "slowsde/gpu/ensemble_kernels.cuh"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_sensing.hpp"

SLOWSDE_ENSEMBLE_KERNELS(slowsde::DiagonalNetwork);
SLOWSDE_ENSEMBLE_KERNELS(slowsde::MatrixSensing);
