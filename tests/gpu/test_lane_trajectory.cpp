// The steps of a GPU's thread, on the host, against the CPU's ensembles: equal bit for bit.
#include "slowsde/gpu/lane_trajectory.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "slowsde/sde/sde_ensemble.hpp"
#include "slowsde/sde/valley_slow_sde.hpp"

using namespace slowsde;

namespace {

/// A general noise in two dimensions whose fields do not commute.
struct Twisted {
  static constexpr NoiseClass noise = NoiseClass::general;
  static constexpr Calculus calculus = Calculus::ito;
  int dim() const { return 2; }
  int noise_dim() const { return 2; }
  template <class T>
  void drift(const T* x, double t, T* out) const {
    out[0] = -x[0] + T(0.1 * t);
    out[1] = x[0] - x[1];
  }
  template <class T>
  void diffusion(const T* x, double, T* S) const {
    S[0] = T(0.3);
    S[1] = 0.2 * x[1];
    S[2] = 0.1 * x[0];
    S[3] = T(0.4);
  }
};

/// dx = −x dt + 0.4 x∘dW in each of two components.
template <Calculus Kind>
struct Geometric {
  static constexpr NoiseClass noise = NoiseClass::diagonal;
  static constexpr Calculus calculus = Kind;
  int dim() const { return 2; }
  int noise_dim() const { return 2; }
  template <class T>
  void drift(const T* x, double, T* out) const {
    for (int i = 0; i < 2; ++i) out[i] = -x[i];
  }
  template <class T>
  void diffusion(const T* x, double, T* S) const {
    for (int i = 0; i < 2; ++i) S[i] = 0.4 * x[i];
  }
};

EnsembleOptions options_of(double max_step = 0.05) {
  EnsembleOptions options;
  options.trajectories = 37;
  options.seed = 99;
  options.first_trajectory = 128;
  options.output_times = {0.0, 0.4, 1.0};
  options.max_step = max_step;
  return options;
}

template <class Real, int D, class Scheme, class S>
std::vector<double> of_packs(const Scheme& scheme, const S& sde, const EnsembleOptions& options) {
  std::vector<double> states(options.output_times.size() * options.trajectories * D);
  run_ensemble<Pack<Real>>(
      scheme, sde, options,
      [](std::size_t, double* x) {
        for (int j = 0; j < D; ++j) x[j] = 1.25 - j;
      },
      [&](std::size_t output, std::size_t trajectory, const double* x) {
        for (int j = 0; j < D; ++j)
          states[(output * options.trajectories + trajectory) * D + static_cast<std::size_t>(j)] = x[j];
      });
  return states;
}

template <class Real, int D, int M, class Scheme, class S>
std::vector<double> of_threads(const Scheme& scheme, const S& sde, const EnsembleOptions& options) {
  using Trajectory = LaneTrajectory<Scheme, S, Real, D, M>;
  const typename Trajectory::Setup setup{scheme, sde, options.seed};
  const auto intervals = output_intervals(options);
  std::vector<double> states(options.output_times.size() * options.trajectories * D);
  for (std::size_t r = 0; r < options.trajectories; ++r) {
    Pack<Real, 1> x[D];
    for (int j = 0; j < D; ++j) x[j] = Pack<Real, 1>(1.25 - j);
    for (std::size_t output = 0; output < intervals.size(); ++output) {
      Trajectory::run(setup, intervals[output], options.first_trajectory + r, x);
      for (int j = 0; j < D; ++j)
        states[(output * options.trajectories + r) * D + static_cast<std::size_t>(j)] =
            static_cast<double>(x[j].v);
    }
  }
  return states;
}

template <int D, int M, class Scheme, class S>
bool same_bits(const Scheme& scheme, const S& sde) {
  const auto equal = [](const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  };
  const EnsembleOptions options = options_of();
  return equal(of_packs<double, D>(scheme, sde, options), of_threads<double, D, M>(scheme, sde, options)) &&
         equal(of_packs<float, D>(scheme, sde, options), of_threads<float, D, M>(scheme, sde, options));
}

}  // namespace

TEST_CASE("a thread's trajectory has the bits of a pack's lane with every scheme") {
  CHECK(same_bits<1, 1>(EulerMaruyama{}, ValleySlowSde{}));
  CHECK(same_bits<1, 1>(Heun{}, ValleySlowSde{}));
  CHECK(same_bits<1, 1>(PlatenWeak2{}, ValleySlowSde{}));
  CHECK(same_bits<2, 2>(EulerMaruyama{}, Twisted{}));
  CHECK(same_bits<2, 2>(PlatenWeak2{}, Twisted{}));
  CHECK(same_bits<2, 2>(Milstein{}, Geometric<Calculus::ito>{}));
  CHECK(same_bits<2, 2>(PlatenWeak2{}, Geometric<Calculus::ito>{}));
  CHECK(same_bits<2, 2>(Heun{}, Geometric<Calculus::stratonovich>{}));
}

TEST_CASE("other noise or another step gives other trajectories") {
  const EnsembleOptions options = options_of();
  const auto right = of_packs<double, 1>(EulerMaruyama{}, ValleySlowSde{}, options);
  EnsembleOptions other = options;
  other.first_trajectory += 64;
  CHECK(of_threads<double, 1, 1>(EulerMaruyama{}, ValleySlowSde{}, other) != right);
  CHECK(of_threads<double, 1, 1>(EulerMaruyama{}, ValleySlowSde{}, options_of(0.04)) != right);
}
