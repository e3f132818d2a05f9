// Eigenpairs of a symmetric matrix. Compiled once for the sizes of small problems: a geometry is a template
// of its problem, and Eigen's solver inside it would be compiled again with every one of them.
#pragma once

namespace slowsde {

/// λ ascending (d) and V (d×d, the eigenvectors as columns) with A V = V diag(λ), VᵀV = I, of a symmetric d×d
/// matrix A. All arrays column by column; of A only the lower triangle is read. Without allocation for d ≤ 8.
void symmetric_eigen(int d, const double* A, double* lambda, double* V);

}  // namespace slowsde
