// SLOWSDE_HD marks functions that also run on a GPU; without a CUDA compiler it is empty. This header lies
// below all others, so that every template can be shared by the CPU loops and the CUDA kernels.
#pragma once

#if defined(__CUDACC__)
#define SLOWSDE_HD __host__ __device__
#else
#define SLOWSDE_HD
#endif

/// 1 where code on vector registers is compiled. CUDA's compiler knows packs of one lane only: a template
/// that serves device and host cannot name a vector type there, and the host's step loops are none of its
/// business.
#if defined(__CUDACC__)
#define SLOWSDE_VECTORS 0
#else
#define SLOWSDE_VECTORS 1
#endif

/// Inlined whatever the optimiser's budget says: a call inside a step loop would spill every vector register.
#define SLOWSDE_INLINE inline __attribute__((always_inline))

/// Before a loop: unroll it up to n times. On the device wholly, because only then its arrays are registers;
/// GCC's pragma is hidden from CUDA's front end, which would warn of it.
#if defined(__CUDA_ARCH__)
#define SLOWSDE_UNROLL(n) _Pragma("unroll")
#elif defined(__CUDACC__)
#define SLOWSDE_UNROLL(n)
#else
#define SLOWSDE_PRAGMA(text) _Pragma(#text)
#define SLOWSDE_UNROLL(n) SLOWSDE_PRAGMA(GCC unroll n)
#endif
