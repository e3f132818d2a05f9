// What a GPU does for the passes layer by layer, in plain loops.
#pragma once

#include <cmath>
#include <cstdint>

#include "slowsde/gpu/batched_product.hpp"

namespace slowsde::test {

/// BLAS written out.
struct LoopMachine {
  bool backwards = false;  ///< the order of the indices, which are independent of each other
  int left_out = 0;        ///< an error: so many terms are left out of each product

  template <class Function>
  void for_each(std::int64_t count, const Function& f) const {
    for (std::int64_t i = 0; i < count; ++i) f(backwards ? count - 1 - i : i);
  }
  template <class Real>
  void multiply(const BatchedProduct<Real>& p) const {
    for (int w = 0; w < p.count; ++w)
      for (int column = 0; column < p.n; ++column)
        for (int row = 0; row < p.m; ++row) {
          Real& c = p.c[w * p.stride_c + static_cast<std::int64_t>(column) * p.row_c + row];
          Real sum = p.accumulate ? c : Real{0};
          for (int k = left_out; k < p.k; ++k)
            sum = std::fma(element(p.a + w * p.stride_a, p.row_a, p.transpose_a, row, k),
                           element(p.b + w * p.stride_b, p.row_b, p.transpose_b, k, column), sum);
          c = sum;
        }
  }

 private:
  template <class Real>
  static Real element(const Real* a, int leading, bool transposed, int row, int column) {
    return transposed ? a[static_cast<std::int64_t>(row) * leading + column]
                      : a[static_cast<std::int64_t>(column) * leading + row];
  }
};

}  // namespace slowsde::test
