// The second-moment models by name, for configurations and listings.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "slowsde/optim/buffer_policy.hpp"
#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

/// What a model must know of the algorithm beyond the Round.
struct SecondMomentOptions {
  bool replacement = true;                        ///< how minibatches are drawn ("sampling")
  BufferPolicy buffers = BufferPolicy::averaged;  ///< momentum buffers at a round's end ("heavy-ball")
};

struct CatalogueEntry {
  std::string name, description;
};

/// Every name that make_second_moment accepts, with one line on each.
const std::vector<CatalogueEntry>& second_moment_catalogue();

/// Throws std::invalid_argument, listing the names, when `name` is not among them.
std::shared_ptr<const SecondMoment> make_second_moment(std::string_view name,
                                                       const SecondMomentOptions& options = {});

}  // namespace slowsde
