// Multilevel Monte Carlo (Giles 2008, Operations Research 56:607; Giles 2015, Acta Numerica 24:259): the mean
// of an observable P of an SDE's end, from coupled approximations P_l with n_l = n_0·2^l steps,
//   E P_L = E P_0 + Σ_{l=1..L} E[P_l − P_{l−1}],
// where P_l and P_{l−1} of one sample see the same Brownian path. Their difference has the small variance V_l
// of the strong error, so that few samples suffice where a sample is expensive. With a cost of C_l steps a
// sample the least cost for a variance v of the sum is at
//   N_l = v⁻¹ √(V_l/C_l) Σ_k √(V_k C_k) .
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "slowsde/sde/sde_ensemble.hpp"

namespace slowsde {

struct MultilevelOptions {
  double target_rmse = 0.01;  ///< ε: bias² + variance ≤ ε²
  std::uint64_t seed = 1;
  double end_time = 1;
  std::uint64_t coarsest_steps = 1;  ///< n_0
  /// Order α of E P_l − E P ~ 2^{−αl}: that of the scheme.
  double weak_order = 1;
  double bias_share = 0.5;    ///< θ: bias² ≤ θε², variance ≤ (1 − θ)ε²
  std::uint64_t pilot = 256;  ///< samples of a level before anything is known of it; rounded up to blocks
  int min_levels = 3;         ///< L + 1 to begin with; the bias is judged by the last of the corrections
  int max_levels = 12;        ///< where the driver gives up on the bias
  double max_cost = 1e12;     ///< steps in all, where it gives up on the variance
  int threads = 1;

  /// n_l
  std::uint64_t steps(int level) const { return coarsest_steps << level; }
  /// Steps of one sample of level l: n_l + n_{l−1}, n_0 on the coarsest.
  double steps_per_sample(int level) const;
  /// Throws std::invalid_argument naming the violated inequality.
  void check() const;
};

/// Samples come in blocks of this many, addressed by (level, block).
inline constexpr std::size_t multilevel_block = trajectory_block;

/// values(approximation, level, block, out): P with n_approximation steps, approximation ≤ level, on the
/// Brownian paths of samples 64·block … of `level`; not finite where a path diverged. A pure function, called
/// from several threads.
using PathValues = std::function<void(int approximation, int level, std::uint64_t block,
                                      std::span<double, multilevel_block>)>;

/// The first trajectory of a block: levels have ranges of addresses of their own, hence independent paths.
std::uint64_t multilevel_trajectory(int level, std::uint64_t block);

/// What was sampled on one level.
struct LevelMoments {
  std::uint64_t samples = 0;
  Moments fine;        ///< P_l
  Moments coarse;      ///< P_{l−1} on the same paths; empty on level 0
  Moments correction;  ///< P_l − P_{l−1}; P_0 on level 0

  /// Takes in one block.
  void add(std::span<const double, multilevel_block> fine_values,
           std::span<const double, multilevel_block> coarse_values, bool coarsest);
  void merge(const LevelMoments& other);
};

enum class MultilevelStatus {
  reached,         ///< the target, by the driver's own account of bias and variance
  bias_too_large,  ///< the finest level that is allowed is too coarse
  cost_too_large,  ///< the samples that the variance needs cost more than is allowed
  diverged,        ///< some path is not finite; the others are no sample of P
};
/// "reached", "bias too large", …
const char* name_of(MultilevelStatus status);

struct MultilevelResult {
  double estimate = 0;
  double standard_error = 0;
  double bias_bound = 0;  ///< of |E P_L − E P|, from the last corrections
  MultilevelStatus status = MultilevelStatus::reached;
  std::vector<LevelMoments> levels;
  double cost = 0;           ///< steps in all, those of the pilots included
  double plain_samples = 0;  ///< of plain Monte Carlo on the finest level for the same bias and variance
  double plain_cost = 0;     ///< steps of these

  int finest() const { return static_cast<int>(levels.size()) - 1; }
  /// √(bias_bound² + standard_error²)
  double rmse_bound() const;
  /// Giles' consistency check: max_l |mean P_{l−1} on level l − mean P_{l−1} on level l−1| in standard
  /// errors. The sum telescopes only if both have the same law.
  double consistency() const;
};

/// Samples all levels from l = 0 on; adds levels until the bias, and samples until the variance, is small
/// enough. The bias is bounded by the corrections that would follow those of the last three levels,
///   max_{j=0,1,2} 2^{−αj}(|m_{L−j}| + SE) · r/(1 − r),   r = |m_L/m_{L−1}| within [2^{−α}, 2^{−α/4}]
/// with m_l the mean correction of level l (Giles 2015, §3.2 has r = 2^{−α} and no SE; where the leading term
/// of the bias does not rule yet, or a correction is small by chance, that is too little). The result does
/// not depend on options.threads, by no bit. Throws what check() throws.
MultilevelResult multilevel_monte_carlo(const PathValues& values, const MultilevelOptions& options);

/// Mean of P on one level, by `samples` independent paths, rounded up to blocks: plain Monte Carlo.
Moments plain_monte_carlo(const PathValues& values, int level, std::uint64_t samples, int threads);

/// The PathValues of a scheme on an SDE: start(trajectory, x) writes the initial state, observe(x) is P. The
/// scheme, the SDE and the functions are kept by reference. T is double or a pack of trajectories; CoarsePath
/// supplies the noise of P_{l−1}.
template <class T = Pack<double>, template <class> class CoarsePath = BrownianPath, class Scheme, class S,
          class Start, class Observe>
requires Steppable<Scheme, S, T> PathValues path_values(const Scheme& scheme, const S& sde,
                                                        const Start& start, const Observe& observe,
                                                        const MultilevelOptions& options) {
  return [&scheme, &sde, &start, &observe, options](int approximation, int level, std::uint64_t block,
                                                    std::span<double, multilevel_block> out) {
    EnsembleOptions ensemble;
    ensemble.trajectories = multilevel_block;
    ensemble.seed = options.seed;
    ensemble.first_trajectory = multilevel_trajectory(level, block);
    ensemble.output_times = {options.end_time};
    ensemble.max_step = options.end_time / static_cast<double>(options.steps(approximation));
    ensemble.refinement = std::uint64_t{1} << (level - approximation);
    ensemble.chunk = multilevel_block;
    const auto begin = [&](std::size_t i, double* x) { start(ensemble.first_trajectory + i, x); };
    const auto record = [&](std::size_t, std::size_t i, const double* x) { out[i] = observe(x); };
    if (approximation == level)
      run_ensemble<T, BrownianPath>(scheme, sde, ensemble, begin, record);
    else
      run_ensemble<T, CoarsePath>(scheme, sde, ensemble, begin, record);
  };
}

/// E observe(X(end_time)) for an SDE and a scheme, started at start(trajectory, x).
template <class T = Pack<double>, template <class> class CoarsePath = BrownianPath, class Scheme, class S,
          class Start, class Observe>
requires Steppable<Scheme, S, T> MultilevelResult multilevel_monte_carlo(const Scheme& scheme, const S& sde,
                                                                         const Start& start,
                                                                         const Observe& observe,
                                                                         const MultilevelOptions& options) {
  return multilevel_monte_carlo(path_values<T, CoarsePath>(scheme, sde, start, observe, options), options);
}

}  // namespace slowsde
