// One worker of an ensemble of iterates on a multilayer perceptron with the squared loss, by a group of
// threads. Every sum is that of mlp_fit_passes.hpp, every random number has its address: the bits are those
// of the CPU's iterates, whatever the threads of a group and their order within a phase.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "slowsde/gpu/group_worker.hpp"
#include "slowsde/gpu/mlp_fit_passes.hpp"
#include "slowsde/gpu/round_table.hpp"
#include "slowsde/optim/stochastic_gradient.hpp"

namespace slowsde {

/// The same for all groups of a launch, passed to the kernels by value.
template <class Real>
struct MlpFitSetup : MlpFitLayout<Real> {
  int chosen = 0;  ///< ints: (visits)
  bool minibatch = false;
  SamplerConstants constants;
  double label_scale = 0, inverse_visits = 1, inverse_workers = 1;
  int workers = 1;
};

/// Without its pointers. Throws std::invalid_argument for what the kernels do not run.
template <class Real, class Fit>
MlpFitSetup<Real> make_mlp_fit_setup(const Fit& fit, const LocalSgd& algorithm,
                                     const GradientSource& source) {
  const auto refuse = [](const std::string& what) {
    throw std::invalid_argument("the kernels of networks have no " + what);
  };
  if (source.noise.kind == NoiseKind::gaussian) refuse("noise of that kind");
  if (algorithm.momentum != 0) refuse("momentum");
  if (source.svag != 1) refuse("SVAG");
  MlpFitSetup<Real> setup;
  setup.minibatch = source.noise.kind == NoiseKind::minibatch;
  if (setup.minibatch) {
    setup.constants = sampler_constants<NoiseKind::minibatch>(fit, source);
    setup.label_scale = label_scale<NoiseKind::minibatch>(setup.constants);
  } else {
    setup.constants = sampler_constants<NoiseKind::label>(fit, source);
    setup.label_scale = label_scale<NoiseKind::label>(setup.constants);
  }
  lay_out(setup, fit.shape(), setup.minibatch ? setup.constants.minibatch.batch : setup.constants.samples);
  setup.inverse_visits = 1.0 / setup.visits;
  setup.workers = algorithm.workers;
  setup.inverse_workers = 1.0 / algorithm.workers;
  setup.chosen = setup.take(setup.visits);
  return setup;
}

template <class Block, class Real>
class MlpFitWorker {
 public:
  using Setup = MlpFitSetup<Real>;

  /// memory: (setup.numbers).
  SLOWSDE_HD MlpFitWorker(const Block& block, const Setup& setup, std::uint64_t replica, std::uint32_t worker,
                          Real* memory)
      : block_(block),
        setup_(setup),
        passes_(block, setup, memory),
        replica_(replica),
        worker_(worker),
        chosen_(reinterpret_cast<int*>(memory + setup.chosen)),
        label_scale_(static_cast<Real>(setup.label_scale)),
        inverse_(static_cast<Real>(setup.inverse_visits)) {}

  /// The rounds first … last − 1 of a worker that is alone, or one round of one among many: from `start` to
  /// `end`, (d) each, which may be the same.
  SLOWSDE_HD void run(const RoundView& table, std::int64_t first, std::int64_t last, const Real* start,
                      Real* end) {
    passes_.load(start);
    for (std::int64_t s = first; s < last; ++s) {
      const TableRound& round = table.rounds[s];
      const detail::RoundRates rates = table.rates_of(round);
      for (std::int64_t h = 0; h < round.local_steps; ++h)
        step(static_cast<std::uint64_t>(round.first_step + h), static_cast<Real>(rates[h]));
    }
    passes_.store(end);
  }

 private:
  /// θ ← θ − ηg with the stochastic gradient of step k.
  SLOWSDE_HD void step(std::uint64_t k, Real eta) {
    block_.run([&](int thread, int threads) { draw(thread, threads, k); });
    const auto sample_of = [this](int visit) { return setup_.minibatch ? chosen_[visit] : visit; };
    passes_.gather(sample_of);
    passes_.forward(sample_of);
    passes_.backward();
    // Every adjoint is known, so no weight is needed any more and all may change at once.
    block_.run([&](int thread, int threads) {
      passes_.each_parameter(
          thread, threads,
          [&](Real& parameter, int, const typename MlpFitLayout<Real>::Layer& layer, int o, int i) {
            parameter = parameter - eta * (passes_.gradient(layer, o, i) * inverse_);
          });
    });
  }

  /// The step's label noise ε into the place of the outputs' adjoints, and its samples. Visit number v of
  /// step k has the address k·visits + v.
  SLOWSDE_HD void draw(int thread, int threads, std::uint64_t k) {
    const SamplerConstants& constants = setup_.constants;
    const int count = setup_.visits * setup_.outputs();
    Real* const eps = passes_.memory() + setup_.layer[setup_.layers - 1].delta;
    if (setup_.label_scale != 0)
      share_normals(RandomPack<Real, 1>(constants.seed, Stream::label, replica_), worker_,
                    k * static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(count), thread, threads,
                    [&](int i, Real normal) { eps[i] = label_scale_ * normal; });
    else
      for (int i = thread; i < count; i += threads) eps[i] = Real(0);
    if (!setup_.minibatch) return;
    const MinibatchSampler& minibatch = constants.minibatch;
    const auto integer = [&](int b, int m) {
      return static_cast<int>(
          integer_at(constants.seed, Stream::sample, replica_, worker_,
                     k * static_cast<std::uint64_t>(minibatch.batch) + static_cast<std::uint64_t>(b),
                     static_cast<std::uint32_t>(m)));
    };
    if (minibatch.replacement) {
      for (int b = thread; b < minibatch.batch; b += threads) chosen_[b] = integer(b, minibatch.samples);
    } else if (thread == 0) {  // distinct samples are drawn one after the other
      detail::draw_integers(minibatch.samples, minibatch.batch, false, integer, chosen_);
    }
  }

  const Block& block_;
  const Setup& setup_;
  MlpFitPasses<Block, Real> passes_;
  std::uint64_t replica_;
  std::uint32_t worker_;
  int* chosen_;
  Real label_scale_, inverse_;
};

}  // namespace slowsde
