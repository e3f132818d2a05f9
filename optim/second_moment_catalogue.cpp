#include "slowsde/optim/second_moment_catalogue.hpp"

#include <stdexcept>

#include "slowsde/optim/effective_rate_moment.hpp"
#include "slowsde/optim/finite_step_moment.hpp"
#include "slowsde/optim/heavy_ball_moment.hpp"
#include "slowsde/optim/psi_moment.hpp"
#include "slowsde/optim/qsr_moment.hpp"
#include "slowsde/optim/sampling_moment.hpp"
#include "slowsde/optim/sgd_moment.hpp"

namespace slowsde {
namespace {

using Make = std::shared_ptr<const SecondMoment> (*)(const SecondMomentOptions&);

template <class Moment>
std::shared_ptr<const SecondMoment> plain(const SecondMomentOptions&) {
  return std::make_shared<Moment>();
}

struct Row {
  const char *name, *description;
  Make make;
};

constexpr Row rows[] = {
    {"sgd", "SGD as eta -> 0: 1/(li+lj)", plain<SgdMoment>},
    {"psi", "Local SGD as eta -> 0, eta*H fixed: (1 + (K-1) psi(eta H (li+lj)))/(li+lj)", plain<PsiMoment>},
    {"qsr", "Local SGD as eta -> 0, eta^2*H fixed: K/(li+lj)", plain<QsrMoment>},
    {"finite-step", "(Local) SGD at the eta and H in use", plain<FiniteStepMoment>},
    {"sampling", "finite-step with the feedback of drawing minibatches from n samples",
     [](const SecondMomentOptions& options) -> std::shared_ptr<const SecondMoment> {
       return std::make_shared<SamplingMoment>(options.replacement);
     }},
    {"heavy-ball", "(Local) SGD with momentum at the eta and H in use; buffers averaged, kept or reset",
     [](const SecondMomentOptions& options) -> std::shared_ptr<const SecondMoment> {
       return std::make_shared<HeavyBallMoment>(options.buffers);
     }},
    {"effective-rate", "(Local) SGD with momentum as eta -> 0: psi at eta/(1-beta)",
     plain<EffectiveRateMoment<PsiMoment>>},
};

}  // namespace

const std::vector<CatalogueEntry>& second_moment_catalogue() {
  static const std::vector<CatalogueEntry> entries = [] {
    std::vector<CatalogueEntry> list;
    for (const Row& row : rows) list.push_back({row.name, row.description});
    return list;
  }();
  return entries;
}

std::shared_ptr<const SecondMoment> make_second_moment(std::string_view name,
                                                       const SecondMomentOptions& options) {
  std::string names;
  for (const Row& row : rows) {
    if (name == row.name) return row.make(options);
    names += names.empty() ? row.name : std::string(", ") + row.name;
  }
  throw std::invalid_argument("unknown second-moment model \"" + std::string(name) + "\"; known: " + names);
}

}  // namespace slowsde
