// The data of a training run as a configuration names them.
#pragma once

#include "slowsde/experiments/config.hpp"
#include "slowsde/problems/batch_assembly.hpp"

namespace slowsde {

/// Reads a table [data]: `name` says where the samples come from, the other keys which of them are used and
/// how; README.md has them all. Files are relative to the working directory. Throws ConfigError for
/// impossible values, and IoError, which begins with the place of the key too, for a file that cannot be
/// used.
TrainTest read_data(ConfigTable& table);

/// The key `sampling`: `epoch` (default), `fixed-shards`, `distinct` or `with-replacement`.
Sampling read_sampling(ConfigTable& table);

/// The keys `shift`, `flip` and `label_flip`, and for a loss with targets `label_sigma`, `on` and `off`.
/// Throws ConfigError for what is impossible with these data.
BatchRecipe read_batch_recipe(ConfigTable& table, const ClassificationData& data, bool targets);

}  // namespace slowsde
