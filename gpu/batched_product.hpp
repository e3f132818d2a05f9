// Matrix products of many workers or directions at once, and those of which the passes through a layer
// consist.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slowsde {

/// C_w = op(A_w) op(B_w) for w < count, column-major as BLAS has them: op(A) is (m × k), op(B) is (k × n).
template <class Real>
struct BatchedProduct {
  bool transpose_a = false, transpose_b = false;
  int m = 0, n = 0, k = 0;
  const Real *a = nullptr, *b = nullptr;
  Real* c = nullptr;
  int row_a = 0, row_b = 0, row_c = 0;                    ///< leading dimensions
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;  ///< from one worker to the next
  int count = 1;
  bool accumulate = false;  ///< C_w += op(A_w) op(B_w)
};

/// What a library of products is given to work in.
inline constexpr std::size_t product_workspace_bytes = std::size_t{32} << 20;

/// The first worker's matrix, and how far the next one's is from it: 0 where all have the same.
template <class Number>
struct StridedMatrix {
  Number* first = nullptr;
  std::int64_t stride = 0;
};

/// The products of a layer of `outputs` rows of `fan_in` weights, for `count` workers. Matrices lie by rows
/// without padding: W (outputs × fan-in), A and D (fan-in × columns), Z and δ (outputs × columns). A matrix
/// by rows is the transposed one by columns: all lie in memory as BLAS is told.
struct LayerProducts {
  int fan_in = 0, outputs = 0, columns = 0, count = 1;

  /// Z = W A, that is Zᵀ = Aᵀ Wᵀ
  template <class Real>
  BatchedProduct<Real> forward(StridedMatrix<const Real> W, StridedMatrix<const Real> A,
                               StridedMatrix<Real> Z) const {
    return of(A, W, Z,
              {.m = columns, .n = outputs, .k = fan_in, .row_a = columns, .row_b = fan_in, .row_c = columns});
  }
  /// G = δ Aᵀ, that is Gᵀ = A δᵀ
  template <class Real>
  BatchedProduct<Real> gradient(StridedMatrix<const Real> delta, StridedMatrix<const Real> A,
                                StridedMatrix<Real> G) const {
    return of(A, delta, G,
              {.transpose_a = true,
               .m = fan_in,
               .n = outputs,
               .k = columns,
               .row_a = columns,
               .row_b = columns,
               .row_c = fan_in});
  }
  /// D = Wᵀ δ, that is Dᵀ = δᵀ W
  template <class Real>
  BatchedProduct<Real> adjoint(StridedMatrix<const Real> W, StridedMatrix<const Real> delta,
                               StridedMatrix<Real> D) const {
    return of(delta, W, D,
              {.transpose_b = true,
               .m = columns,
               .n = fan_in,
               .k = outputs,
               .row_a = columns,
               .row_b = fan_in,
               .row_c = columns});
  }

 private:
  template <class Real>
  BatchedProduct<Real> of(StridedMatrix<const Real> a, StridedMatrix<const Real> b, StridedMatrix<Real> c,
                          BatchedProduct<Real> product) const {
    product.a = a.first;
    product.b = b.first;
    product.c = c.first;
    product.stride_a = a.stride;
    product.stride_b = b.stride;
    product.stride_c = c.stride;
    product.count = count;
    return product;
  }
};

/// C += op(A) op(B) of a product.
template <class Real>
BatchedProduct<Real> added(BatchedProduct<Real> product) {
  product.accumulate = true;
  return product;
}

}  // namespace slowsde
