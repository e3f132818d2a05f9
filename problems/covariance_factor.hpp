// The factor of a constant covariance matrix, by which Gaussian noise is made of independent normals.
#pragma once

#include <vector>

namespace slowsde {

/// Lower triangular S with S Sᵀ = Σ: (d × d), both row-major. Σ may be singular. Throws std::invalid_argument
/// unless Σ is finite, symmetric and positive semidefinite (to d·10⁻¹⁴ of its largest eigenvalue); the
/// message names the offending eigenvalue.
std::vector<double> covariance_factor(const std::vector<double>& sigma, int d);

}  // namespace slowsde
