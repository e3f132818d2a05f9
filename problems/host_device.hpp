// SLOWSDE_HD marks functions that also run on a GPU; without a CUDA compiler it is empty. This header lies
// below all others, so that every template can be shared by the CPU loops and the CUDA kernels.
#pragma once

#if defined(__CUDACC__)
#define SLOWSDE_HD __host__ __device__
#else
#define SLOWSDE_HD
#endif

/// Inlined whatever the optimiser's budget says: a call inside a step loop would spill every vector register.
#define SLOWSDE_INLINE inline __attribute__((always_inline))

/// Before a loop: unroll it up to n times. GCC's pragma, which CUDA's front end would warn of.
#if defined(__CUDACC__)
#define SLOWSDE_UNROLL(n)
#else
#define SLOWSDE_PRAGMA(text) _Pragma(#text)
#define SLOWSDE_UNROLL(n) SLOWSDE_PRAGMA(GCC unroll n)
#endif
