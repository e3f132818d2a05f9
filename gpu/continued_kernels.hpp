// Kernels of iterates whose states come to the host at every record point and go on from there: what all of
// them do the same, whatever runs the rounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <vector>

#include "slowsde/gpu/ensemble_kernels.hpp"
#include "slowsde/gpu/round_table.hpp"

namespace slowsde {

class ContinuedKernels : public EnsembleKernels {
 public:
  void simulate(const IterateEnsemble& ensemble, std::uint64_t first_replica, std::uint64_t replicas,
                std::vector<double>& states) const override {
    states.clear();
    std::vector<double> current;
    for (std::size_t p = 0; p < ensemble.points.size(); ++p) {
      advance(ensemble, first_replica, replicas, p, current);
      states.insert(states.end(), current.begin(), current.end());
    }
  }

  bool continues() const override { return true; }

  void advance(const IterateEnsemble& ensemble, std::uint64_t first_replica, std::uint64_t replicas,
               std::size_t point, std::vector<double>& states) const override {
    if (point == 0) {
      states.clear();
      for (std::uint64_t r = 0; r < replicas; ++r)
        states.insert(states.end(), ensemble.start.begin(), ensemble.start.end());
    }
    const RoundTable table = round_table(ensemble.algorithm, ensemble.points);
    run_rounds(ensemble, table, point == 0 ? 0 : table.rounds_at.at(point - 1), table.rounds_at.at(point),
               first_replica, replicas, states);
  }

  using EnsembleKernels::reduce;
  bool reduces(const IterateReduction&) const override { return false; }
  ReducedEnsemble reduce(const IterateEnsemble&, std::uint64_t, const IterateReduction&,
                         const std::function<void(std::uint64_t)>&) const override {
    throw std::logic_error("the states come to the host, which forms their moments");
  }

 private:
  /// Runs the rounds first … last − 1 of a table from the states, (replicas × d), and leaves where they end.
  virtual void run_rounds(const IterateEnsemble& ensemble, const RoundTable& table, std::size_t first,
                          std::size_t last, std::uint64_t first_replica, std::uint64_t replicas,
                          std::vector<double>& states) const = 0;
};

}  // namespace slowsde
