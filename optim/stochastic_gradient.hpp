// One local step's stochastic gradient, for a pack of replicas and a group of workers at once, with every
// random number taken from its address.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "slowsde/problems/gradient.hpp"
#include "slowsde/problems/noise.hpp"
#include "slowsde/problems/normal_pack.hpp"

namespace slowsde {

/// Normals of one stream for a group of workers, taken in order of their index; a block is computed once.
template <class Real, int Workers, int W = native_width<Real>>
class NormalBuffer {
 public:
  using T = Pack<Real, W>;

  SLOWSDE_HD NormalBuffer(const RandomPack<Real, W>& random, std::uint32_t first_worker)
      : random_(random), first_worker_(first_worker) {}

  /// Makes normal number `index` current.
  SLOWSDE_HD SLOWSDE_INLINE void seek(std::uint64_t index) {
    load(index / per_block);
    select(index % per_block);
  }
  /// Makes a block current, of whose normals select() chooses one.
  SLOWSDE_HD SLOWSDE_INLINE void load(std::uint64_t block) {
    if (block != block_) {
      random_.template normals<Workers>(first_worker_, block, values_);
      block_ = block;
    }
  }
  SLOWSDE_HD SLOWSDE_INLINE void select(std::uint64_t slot) { slot_ = slot; }
  /// The current normal of worker `first_worker` + g.
  SLOWSDE_HD SLOWSDE_INLINE T operator[](int g) const {
    if constexpr (W > 1)
      return values_[g][slot_];
    else if constexpr (per_block == 2)
      return detail::element_of_two(values_[g], slot_);
    else
      return detail::element_of_four(values_[g], slot_);
  }

 private:
  static constexpr int per_block = normals_per_block<Real>;
  RandomPack<Real, W> random_;
  std::uint32_t first_worker_;
  std::uint64_t block_ = ~std::uint64_t{0}, slot_ = 0;
  T values_[Workers][per_block];
};

/// Adds J_iᵀ(f_i − y_i − ε) to g: the problem's own reverse pass, or forward duals over its outputs.
template <LeastSquaresProblem P, class T, class I>
SLOWSDE_HD SLOWSDE_INLINE void add_sample_gradient(const P& problem, const T* theta, const I& i, const T* eps,
                                                   T* g, T* scratch) {
  if constexpr (HasSampleGradient<P>) {
    problem.add_sample_gradient(theta, i, eps, g, scratch);
  } else {
    static_assert(StaticDimension<P>, "a problem of run-time dimension brings its own add_sample_gradient");
    constexpr int D = static_dimension<P>(), C = P::outputs_count;
    Dual<T, D> x[D], f[C];
    T y[C];
    for (int j = 0; j < D; ++j) x[j] = Dual<T, D>::variable(theta[j], j);
    problem.outputs(x, i, f);
    problem.targets(i, y);
    for (int c = 0; c < C; ++c) {
      const T residual = f[c].v - y[c] - eps[c];
      for (int j = 0; j < D; ++j) g[j] = g[j] + residual * f[c].d[j];
    }
  }
}

/// What a stochastic gradient needs beside the problem.
struct GradientSource {
  std::uint64_t seed = 1;
  GradientNoise noise;  ///< kind of noise, label_sigma σ, replacement
  int local_batch = 1;  ///< B_loc
  int svag = 1;  ///< ℓ of SVAG (Li, Malladi & Arora 2021): noise variance × ℓ at the same mean; 1 is SGD
};

/// The numbers of a source that do not change from step to step, computed once on the host.
struct SamplerConstants {
  std::uint64_t seed = 1;
  MinibatchSampler minibatch;
  int samples = 1, outputs = 1, passes = 1, svag = 1;
  double weight[2] = {1, 0}, scale = 1;
};

template <NoiseKind Kind, Problem P>
SamplerConstants sampler_constants(const P& problem, const GradientSource& source) {
  SamplerConstants constants;
  if constexpr (LeastSquaresProblem<P>) {
    constants.samples = problem.samples();
    constants.outputs = outputs_per_sample(problem);
  }
  constants.seed = source.seed;
  constants.minibatch = {constants.samples, source.local_batch, source.noise.replacement};
  constants.svag = source.svag;
  constants.passes = source.svag > 1 ? 2 : 1;
  if (source.svag > 1) {
    const double root = std::sqrt(2.0 * source.svag - 1);
    constants.weight[0] = 0.5 * (1 + root);
    constants.weight[1] = 0.5 * (1 - root);
  }
  const double n = constants.samples, B = source.local_batch;
  if constexpr (Kind == NoiseKind::gaussian) constants.scale = 1 / std::sqrt(B);
  if constexpr (Kind == NoiseKind::label) constants.scale = source.noise.label_sigma * std::sqrt(n / B);
  if constexpr (Kind == NoiseKind::minibatch) constants.scale = source.noise.label_sigma;
  return constants;
}

/// What a standard normal is multiplied by to be the label noise of one output at one visit.
template <NoiseKind Kind>
SLOWSDE_HD double label_scale(const SamplerConstants& constants) {
  return constants.scale * (constants.passes == 1 || Kind != NoiseKind::label
                                ? 1.0
                                : std::sqrt(static_cast<double>(constants.svag)));
}

/// Largest minibatch without replacement of a single replica (packs of one lane), which is kept without the
/// heap.
inline constexpr int largest_lane_minibatch = 64;

/// Draws the gradients of `Group` workers of one pack of replicas. A gradient at step k has mean ∇L and
/// covariance Σ/B_loc; what Σ is, the noise kind says.
///  - gaussian: g = ∇L + S ξ/√B_loc with Σ = S Sᵀ.
///  - label:    all samples at every step, fresh label noise of variance σ²n/B_loc per output: Σ = σ²JᵀJ/n.
///  - minibatch: B_loc samples drawn with or without replacement, fresh label noise of variance σ² per
///  output.
template <Problem P, class Real, int Group, NoiseKind Kind, int W = native_width<Real>>
class GradientSampler {
 public:
  using T = Pack<Real, W>;
  static constexpr int fixed_dim = static_dimension<P>();

  GradientSampler(const P& problem, const GradientSource& source, std::uint64_t first_replica,
                  std::uint32_t first_worker)
      : GradientSampler(problem, sampler_constants<Kind>(problem, source), first_replica, first_worker) {}

  SLOWSDE_HD GradientSampler(const P& problem, const SamplerConstants& constants, std::uint64_t first_replica,
                             std::uint32_t first_worker)
      : problem_(problem),
        constants_(constants),
        label_(RandomPack<Real, W>(constants.seed, stream(), first_replica), first_worker),
        sample_(constants.seed, Stream::sample, first_replica),
        first_worker_(first_worker),
        inverse_samples_(1.0 / constants.samples),
        inverse_batch_(1.0 / constants.minibatch.batch),
        label_scale_(label_scale<Kind>(constants)),
        gaussian_scale_{T(constants.weight[0] * constants.scale), T(constants.weight[1] * constants.scale)} {
    if constexpr (Kind == NoiseKind::minibatch && W > 1)
      chosen_.resize(static_cast<std::size_t>(Group * constants.minibatch.batch));
  }

  /// Scratch values that one call needs for a problem of run-time dimension.
  static int scratch_size(const P& problem) {
    if constexpr (LeastSquaresProblem<P> && HasSampleGradient<P>)
      return problem.scratch_size() + outputs_per_sample(problem);
    else if constexpr (LeastSquaresProblem<P>)
      return outputs_per_sample(problem);
    else
      return 0;
  }

  /// For a loop over steps of its own, where it knows how many normals a step takes.
  SLOWSDE_HD NormalBuffer<Real, Group, W>& normals() { return label_; }
  SLOWSDE_HD T label_noise_scale() const { return label_scale_; }

  /// g[w] = the gradient of worker w of the group at θ[w] in step k.
  SLOWSDE_HD SLOWSDE_INLINE void draw(const T* const (&theta)[Group], std::uint64_t step,
                                      T* const (&g)[Group], T* scratch) {
    const int d = dimension_of();
    for (int w = 0; w < Group; ++w)
      for (int j = 0; j < d; ++j) g[w][j] = T(0.0);
    if constexpr (Kind == NoiseKind::gaussian) {
      draw_gaussian(theta, step, g);
    } else if constexpr (Kind == NoiseKind::label) {
      draw_label(theta, step, g, scratch);
    } else {
      draw_minibatch(theta, step, g, scratch);
    }
  }

 private:
  SLOWSDE_HD static constexpr Stream stream() {
    return Kind == NoiseKind::gaussian ? Stream::gradient : Stream::label;
  }
  SLOWSDE_HD SLOWSDE_INLINE int outputs() const {
    if constexpr (requires { typename std::integral_constant<int, P::outputs_count>; })
      return P::outputs_count;
    else
      return constants_.outputs;
  }
  SLOWSDE_HD SLOWSDE_INLINE int dimension_of() const {
    if constexpr (fixed_dim > 0)
      return fixed_dim;
    else
      return dimension(problem_);
  }

  SLOWSDE_HD SLOWSDE_INLINE void draw_gaussian(const T* const (&theta)[Group], std::uint64_t step,
                                               T* const (&g)[Group]) {
    static_assert(GaussianNoiseProblem<P> && fixed_dim > 0,
                  "Gaussian noise needs a noise_factor and a static dimension");
    constexpr int m = P::noise_dim;
    for (int w = 0; w < Group; ++w) gradient_fixed(theta[w], g[w]);
    for (int pass = 0; pass < constants_.passes; ++pass) {
      T S[Group][static_cast<std::size_t>(fixed_dim) * m];
      for (int w = 0; w < Group; ++w) problem_.noise_factor(theta[w], S[w]);
      const T scale = detail::element_of_two(gaussian_scale_, static_cast<std::uint64_t>(pass));
      for (int c = 0; c < m; ++c) {
        label_.seek(
            (step * static_cast<std::uint64_t>(constants_.passes) + static_cast<std::uint64_t>(pass)) * m +
            static_cast<std::uint64_t>(c));
        for (int w = 0; w < Group; ++w) {
          const T xi = scale * label_[w];
          for (int j = 0; j < fixed_dim; ++j) g[w][j] = g[w][j] + S[w][j * m + c] * xi;
        }
      }
    }
  }

  /// ∇L without the heap, for small problems inside the step loop.
  SLOWSDE_HD SLOWSDE_INLINE void gradient_fixed(const T* theta, T* g) const {
    if constexpr (GeneralLoss<P>) {
      Dual<T, fixed_dim> x[fixed_dim];
      for (int j = 0; j < fixed_dim; ++j) x[j] = Dual<T, fixed_dim>::variable(theta[j], j);
      const auto value = problem_.loss(x);
      for (int j = 0; j < fixed_dim; ++j) g[j] = value.d[j];
    } else {
      gradient(problem_, theta, g);
    }
  }

  SLOWSDE_HD SLOWSDE_INLINE void draw_label(const T* const (&theta)[Group], std::uint64_t step,
                                            T* const (&g)[Group], T* scratch) {
    const std::uint64_t per_step =
        static_cast<std::uint64_t>(constants_.samples) * static_cast<std::uint64_t>(outputs());
    for (int i = 0; i < constants_.samples; ++i) {
      with_outputs(
          scratch, [&](auto* const(&eps)[Group], T* rest) __attribute__((always_inline)) {
            for (int c = 0; c < outputs(); ++c) {
              label_.seek(step * per_step + static_cast<std::uint64_t>(i * outputs() + c));
              for (int w = 0; w < Group; ++w) eps[w][c] = label_scale_ * label_[w];
            }
            for (int w = 0; w < Group; ++w) add_sample_gradient(problem_, theta[w], i, eps[w], g[w], rest);
          });
    }
    if (constants_.samples != 1)
      for (int w = 0; w < Group; ++w)
        for (int j = 0; j < dimension_of(); ++j) g[w][j] = g[w][j] * inverse_samples_;
  }

  SLOWSDE_HD SLOWSDE_INLINE void draw_minibatch(const T* const (&theta)[Group], std::uint64_t step,
                                                T* const (&g)[Group], T* scratch) {
    const MinibatchSampler& minibatch = constants_.minibatch;
    const int B = minibatch.batch, d = dimension_of();
    // With replacement no member depends on another, and a single lane needs no memory for them.
    const bool drawn_at_visit = W == 1 && minibatch.replacement;
    for (int pass = 0; pass < constants_.passes; ++pass) {
      const std::uint64_t number =
          step * static_cast<std::uint64_t>(constants_.passes) + static_cast<std::uint64_t>(pass);
      if (!drawn_at_visit)
        for (int w = 0; w < Group; ++w)
          minibatch.draw(sample_, first_worker_ + static_cast<std::uint32_t>(w), number,
                         chosen_.data() + w * B);
      for (int b = 0; b < B; ++b) {
        with_outputs(
            scratch, [&](auto* const(&eps)[Group], T* rest) __attribute__((always_inline)) {
              const std::uint64_t visit =
                  number * static_cast<std::uint64_t>(B) + static_cast<std::uint64_t>(b);
              for (int c = 0; c < outputs(); ++c) {
                label_.seek(visit * static_cast<std::uint64_t>(outputs()) + static_cast<std::uint64_t>(c));
                for (int w = 0; w < Group; ++w) eps[w][c] = label_scale_ * label_[w];
              }
              for (int w = 0; w < Group; ++w) {
                const IndexPack<W> i =
                    drawn_at_visit ? sample_.integers(first_worker_ + static_cast<std::uint32_t>(w), visit,
                                                      static_cast<std::uint32_t>(minibatch.samples))
                                   : chosen_[static_cast<std::size_t>(w * B + b)];
                if (constants_.passes == 1)
                  add_sample_gradient(problem_, theta[w], i, eps[w], g[w], rest);
                else
                  add_weighted(theta[w], i, eps[w], g[w], rest,
                               detail::element_of_two(constants_.weight, static_cast<std::uint64_t>(pass)));
              }
            });
      }
    }
    for (int w = 0; w < Group; ++w)
      for (int j = 0; j < d; ++j) g[w][j] = g[w][j] * inverse_batch_;
  }

  template <class I>
  SLOWSDE_HD void add_weighted(const T* theta, const I& i, const T* eps, T* g, T* rest, double weight) const {
    const int d = dimension_of();
    const auto add = [&](T* one) {
      for (int j = 0; j < d; ++j) one[j] = T(0.0);
      add_sample_gradient(problem_, theta, i, eps, one, rest);
      for (int j = 0; j < d; ++j) g[j] = g[j] + T(weight) * one[j];
    };
    if constexpr (fixed_dim > 0) {
      T one[fixed_dim];
      add(one);
    } else {
      std::vector<T> one(static_cast<std::size_t>(d));
      add(one.data());
    }
  }

  /// Room for one sample's label noise of each worker: on the stack where C is known, else in the scratch.
  template <class Use>
  SLOWSDE_HD SLOWSDE_INLINE void with_outputs(T* scratch, Use use) {
    if constexpr (requires { typename std::integral_constant<int, P::outputs_count>; }) {
      T room[Group][P::outputs_count];
      T* eps[Group];
      for (int w = 0; w < Group; ++w) eps[w] = room[w];
      use(eps, scratch);
    } else {
      static_assert(Group == 1);
      T* eps[1] = {scratch};
      use(eps, scratch + constants_.outputs);
    }
  }

  const P& problem_;
  SamplerConstants constants_;
  NormalBuffer<Real, Group, W> label_;
  RandomPack<Real, W> sample_;
  std::uint32_t first_worker_;
  // Rounded once: in a kernel's step loop a conversion costs as much as many multiplications.
  T inverse_samples_, inverse_batch_, label_scale_, gaussian_scale_[2];
  /// The minibatches' members: (Group × B)
  std::conditional_t<W == 1,
                     std::array<IndexPack<W>, Kind == NoiseKind::minibatch ? largest_lane_minibatch : 1>,
                     std::vector<IndexPack<W>>>
      chosen_;
};

}  // namespace slowsde
