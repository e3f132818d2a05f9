#include "slowsde/experiments/data_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "slowsde/experiments/errors.hpp"
#include "slowsde/problems/cifar.hpp"
#include "slowsde/problems/csv.hpp"
#include "slowsde/problems/gaussian_mixture.hpp"
#include "slowsde/problems/idx.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/npy.hpp"
#include "slowsde/problems/teacher.hpp"

namespace slowsde {
namespace {

/// All samples of a source, before any are chosen: a test part of its own where the source has one.
struct Source {
  ClassificationData data;
  std::optional<ClassificationData> test;
};

/// What the reader of a file throws becomes an IoError at the key that names the file.
template <class Read>
ClassificationData from_file(ConfigTable& table, const char* key, Read read, const char* hint = "") {
  try {
    return read();
  } catch (const std::invalid_argument&) {
    throw;
  } catch (const std::runtime_error& e) {
    throw IoError(table.error(key, std::string("cannot be used: ") + e.what() + hint).what());
  }
}

/// Reads the training files and, where the first of the keys with `test_` before it is there, those of the
/// test: read({values of the keys}).
template <class Read>
Source from_files(ConfigTable& table, const std::vector<std::string>& keys, Read read) {
  const auto part = [&](const std::string& prefix) {
    std::vector<std::string> files;
    for (const std::string& key : keys) files.push_back(table.require<std::string>(prefix + key));
    return from_file(table, (prefix + keys.front()).c_str(), [&] { return read(files); });
  };
  Source source{part(""), std::nullopt};
  if (table.has("test_" + keys.front())) source.test = part("test_");
  return source;
}

Source read_digits(ConfigTable& table) {
  const auto file = table.get<std::string>("file", "results/data/digits.csv");
  const CsvDataRecipe recipe{.classes = 10, .shape = ImageShape{1, 8, 8}, .scale = 1.0 / 16};
  return {from_file(
              table, "file", [&] { return read_csv_data(file, recipe); },
              " (scripts/export_digits.py writes the digits)"),
          std::nullopt};
}

Source read_idx_source(ConfigTable& table) {
  const int classes = table.at_least<int>("classes", 1, 10);
  return from_files(table, {"images", "labels"},
                    [&](const auto& files) { return read_idx_data(files[0], files[1], classes); });
}

Source read_cifar10_source(ConfigTable& table) {
  const auto part = [&](const char* key) {
    const auto files = table.list<std::string>(key);
    table.check(key, !files.empty(), "must name a file");
    return from_file(table, key, [&] { return read_cifar10(files); });
  };
  Source source{part("files"), std::nullopt};
  if (table.has("test_files")) source.test = part("test_files");
  return source;
}

std::optional<ImageShape> read_shape(ConfigTable& table) {
  if (!table.has("shape")) return std::nullopt;
  const auto sizes = table.list<int>("shape");
  const bool positive = std::all_of(sizes.begin(), sizes.end(), [](int size) { return size >= 1; });
  const bool three = sizes.size() == 3 && positive;
  table.check("shape",
              three && static_cast<double>(sizes[0]) * sizes[1] * sizes[2] <= std::numeric_limits<int>::max(),
              "must be three numbers >= 1, channels, height and width, with a product below 2^31");
  return ImageShape{sizes[0], sizes[1], sizes[2]};
}

double read_scale(ConfigTable& table) {
  const double scale = table.get<double>("scale", 1.0);
  table.check("scale", scale != 0 && std::isfinite(scale), "must not be 0");
  return scale;
}

Source read_csv_source(ConfigTable& table) {
  CsvDataRecipe recipe;
  recipe.header = table.get<bool>("header", false);
  if (table.kind("label") == ConfigKind::text) {
    recipe.label = table.require<std::string>("label");
  } else {
    recipe.label = table.get<int>("label", -1);
  }
  recipe.classes = table.at_least<int>("classes", 0, 0);
  recipe.shape = read_shape(table);
  recipe.scale = read_scale(table);
  return from_files(table, {"file"}, [&](const auto& files) { return read_csv_data(files[0], recipe); });
}

Source read_npy_source(ConfigTable& table) {
  const int classes = table.at_least<int>("classes", 0, 0);
  const double scale = read_scale(table);
  return from_files(table, {"samples", "labels"},
                    [&](const auto& files) { return read_npy_data(files[0], files[1], classes, scale); });
}

/// Both parts of a source of files, by the keys `train`, `test` and `shuffle_seed`.
TrainTest choose(ConfigTable& table, Source source) {
  const int n = source.data.count();
  const auto train = table.find<int>("train"), test = table.find<int>("test");
  const auto shuffle_seed = table.find<std::uint64_t>("shuffle_seed");
  const std::string samples = ", the number of samples";
  const auto within = [&](const char* key, int value, int least, int most, const std::string& of) {
    table.check(key, value >= least && value <= most,
                "must be from " + std::to_string(least) + " to " + std::to_string(most) + of);
  };
  if (source.test) {
    if (source.data.shape != source.test->shape) {
      throw table.error("the test samples have another shape than the training samples");
    }
    source.data.classes = source.test->classes = std::max(source.data.classes, source.test->classes);
    if (train) within("train", *train, 1, n, samples);
    if (test) within("test", *test, 0, source.test->count(), samples);
    ClassificationData chosen = split(source.data, train.value_or(n), 0, shuffle_seed).train;
    std::vector<int> first(static_cast<std::size_t>(test.value_or(source.test->count())));
    for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<int>(i);
    return {std::move(chosen), subset(*source.test, first)};
  }
  if (train) within("train", *train, 1, n, samples);
  if (test) within("test", *test, 0, n - train.value_or(1), ", the samples beside those of the training");
  return split(source.data, train.value_or(n - test.value_or(0)), test, shuffle_seed);
}

struct Sizes {
  int train = 0, test = 0;
};

Sizes read_sizes(ConfigTable& table) {
  const Sizes sizes{table.at_least<int>("train", 1, 1000), table.at_least<int>("test", 0, 0)};
  table.check("test", sizes.test <= std::numeric_limits<int>::max() - sizes.train,
              "makes more than 2^31 - 1 samples");
  return sizes;
}

TrainTest draw_mixture(ConfigTable& table) {
  const GaussianMixture defaults;
  const GaussianMixture mixture{.classes = table.at_least<int>("classes", 1, defaults.classes),
                                .dim = table.at_least<int>("dim", 1, defaults.dim),
                                .separation = table.at_least<double>("separation", 0, defaults.separation),
                                .seed = table.get<std::uint64_t>("data_seed", defaults.seed)};
  const Sizes sizes = read_sizes(table);
  TrainTest parts{mixture.samples(sizes.train), {}};
  parts.test = {.shape = parts.train.shape, .classes = mixture.classes, .x = {}, .labels = {}};
  if (sizes.test > 0) parts.test = mixture.samples(sizes.test, sizes.train);
  return parts;
}

TrainTest ask_teacher(ConfigTable& table) {
  const int inputs = table.at_least<int>("inputs", 1, 10), classes = table.at_least<int>("classes", 2, 4);
  MlpShape shape{.widths = {inputs}};
  for (const int width : table.list<int>("hidden", std::vector<int>{20})) {
    table.check("hidden", width >= 1, "must be widths >= 1");
    shape.widths.push_back(width);
  }
  shape.widths.push_back(classes);
  shape.activation =
      table.one_of("activation", {"tanh", "silu"}, "tanh") == "tanh" ? Activation::tanh : Activation::silu;
  const double gain = table.positive<double>("gain", 1.0);
  const auto seed = table.get<std::uint64_t>("data_seed", 1);
  const Sizes sizes = read_sizes(table);
  const Dataset data = gaussian_inputs(sizes.train + sizes.test, inputs, classes, seed);
  const Eigen::VectorXd theta = initial_parameters(shape, ~seed, gain);
  return split(teacher_labels(data, {inputs, 1, 1}, MlpFit(shape, data), theta.data()), sizes.train,
               sizes.test);
}

}  // namespace

TrainTest read_data(ConfigTable& table) {
  const std::map<std::string, Source (*)(ConfigTable&)> files{{"digits", read_digits},
                                                              {"idx", read_idx_source},
                                                              {"cifar10", read_cifar10_source},
                                                              {"csv", read_csv_source},
                                                              {"npy", read_npy_source}};
  const std::map<std::string, TrainTest (*)(ConfigTable&)> generators{{"gaussian-mixture", draw_mixture},
                                                                      {"teacher", ask_teacher}};
  std::vector<std::string> names;
  for (const auto& [name, read] : files) names.push_back(name);
  for (const auto& [name, draw] : generators) names.push_back(name);
  const std::string name = table.one_of("name", names);
  return table.checked([&] {
    TrainTest parts =
        files.contains(name) ? choose(table, files.at(name)(table)) : generators.at(name)(table);
    if (table.get<bool>("standardise", false)) standardise(parts);
    parts.train.check();
    return parts;
  });
}

Sampling read_sampling(ConfigTable& table) {
  const std::array<std::pair<std::string, Sampling>, 4> modes{
      {{"epoch", Sampling::epoch},
       {"fixed-shards", Sampling::fixed_shards},
       {"distinct", Sampling::distinct},
       {"with-replacement", Sampling::with_replacement}}};
  std::vector<std::string> names;
  for (const auto& [name, mode] : modes) names.push_back(name);
  const std::string wanted = table.one_of("sampling", names, "epoch");
  return std::find_if(modes.begin(), modes.end(), [&](const auto& mode) { return mode.first == wanted; })
      ->second;
}

BatchRecipe read_batch_recipe(ConfigTable& table, const ClassificationData& data, bool targets) {
  BatchRecipe recipe;
  recipe.augmentation.shift = table.at_least<int>("shift", 0, 0);
  recipe.augmentation.flip = table.get<bool>("flip", false);
  recipe.flip.probability = table.at_least<double>("label_flip", 0, 0.0);
  recipe.targets = targets;
  if (targets) {
    recipe.target.label_sigma = table.at_least<double>("label_sigma", 0, 0.0);
    recipe.target.on = table.get<double>("on", recipe.target.on);
    recipe.target.off = table.get<double>("off", recipe.target.off);
  }
  table.checked("shift", [&] { recipe.augmentation.check(data.shape); });
  table.checked("label_flip", [&] { recipe.flip.check(data.classes); });
  table.checked([&] { recipe.check(data); });
  return recipe;
}

}  // namespace slowsde
