#include <Eigen/Core>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/gpu/mlp_fit_ensemble.hpp"
#include "slowsde/problems/accuracy.hpp"
#include "slowsde/problems/mlp.hpp"
#include "slowsde/problems/network_fit.hpp"
#include "slowsde/problems/network_model.hpp"

namespace slowsde {
namespace {

struct NetworkRecipe {
  MlpShape shape;
  std::vector<double> initial;  ///< weights before training
};

/// Initial weights with a gain per layer with weights.
std::vector<double> read_initial(ConfigTable& table, const Network& network) {
  const auto seed = table.get<std::uint64_t>("init_seed", 1);
  const auto layers = static_cast<std::size_t>(network.weighted_layers());
  const auto gain = table.list<double>("init_gain", std::vector<double>(layers, 1.0));
  table.check("init_gain", gain.size() == layers, "must have one entry per layer");
  const Eigen::VectorXd theta = network.initial_parameters(seed, gain);
  return {theta.begin(), theta.end()};
}

/// Widths of the hidden layers, activation and initial weights; the data say the rest.
NetworkRecipe read_network(ConfigTable& table, int inputs, int outputs,
                           const std::vector<int>& default_hidden) {
  NetworkRecipe recipe;
  recipe.shape.widths = {inputs};
  for (const int width : table.list<int>("hidden", default_hidden)) recipe.shape.widths.push_back(width);
  recipe.shape.widths.push_back(outputs);
  recipe.shape.activation =
      table.one_of("activation", {"tanh", "silu"}, "tanh") == "tanh" ? Activation::tanh : Activation::silu;
  recipe.shape.check();
  recipe.initial = read_initial(table, mlp_network(recipe.shape.widths, recipe.shape.activation));
  return recipe;
}

/// The digits of a run: those it trains on, and those that follow in the file.
struct Digits {
  Dataset train;
  std::optional<Dataset> test;
};

/// The 8 × 8 digits that the table asks for; `read_rest` reads the other keys before the file is opened.
template <class ReadRest>
Digits read_digits(ConfigTable& table, ReadRest&& read_rest) {
  const auto file = table.get<std::string>("data", "results/data/digits.csv");
  const int n = table.at_least<int>("samples", 1, 40);
  const int first = table.at_least<int>("first", 0, 0);
  std::vector<int> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), first);
  DigitsRecipe recipe;
  recipe.centre = table.get<bool>("centre", recipe.centre);
  read_rest();
  Digits digits;
  try {
    digits.train = digits_regression(file, indices, recipe);
  } catch (const std::out_of_range& e) {
    throw table.error("samples", std::string("is too many: ") + e.what());
  } catch (const std::runtime_error& e) {
    throw IoError(std::string(e.what()) + " (problem.data; scripts/export_digits.py writes the digits)");
  }
  // Test images are those that follow in the file, less the mean of the training images.
  recipe.centre_on = indices;
  const int following = read_labelled_images(file, 64, 10).count() - (first + n);
  const int tested = table.at_least<int>("test_samples", 0, following);
  table.check("test_samples", tested <= following,
              "must be <= " + std::to_string(following) + ", the images that follow those of the training");
  if (tested > 0) {
    std::vector<int> test(static_cast<std::size_t>(tested));
    std::iota(test.begin(), test.end(), first + n);
    digits.test = digits_regression(file, test, recipe);
  }
  return digits;
}

/// Accuracies on the digits of the network that `model(data)` makes on a data set.
template <class MakeModel>
std::vector<OwnObservable> accuracies(const Digits& digits, MakeModel&& model) {
  const auto observable = [&](std::string name, const Dataset& data) -> OwnObservable {
    return {std::move(name), [network = model(data), y = data.y](const double* theta) {
              return accuracy(*network, y, Eigen::Map<const Eigen::VectorXd>(theta, network->dim()));
            }};
  };
  std::vector<OwnObservable> own = {observable("train_accuracy", digits.train)};
  if (digits.test) own.push_back(observable("test_accuracy", *digits.test));
  return own;
}

/// A perceptron, with what runs its iterates on a GPU.
std::unique_ptr<ExperimentProblem> perceptron(MlpFit fit, std::vector<double> initial,
                                              std::vector<OwnObservable> own = {}) {
  auto kernels = make_mlp_fit_kernels(fit);
  auto problem = std::make_unique<LargeProblem<MlpFit>>(std::move(fit), std::move(initial), std::move(own));
  problem->set_kernels(std::move(kernels));
  return problem;
}

std::unique_ptr<ExperimentProblem> make_digits(ConfigTable& table) {
  NetworkRecipe recipe;
  Digits digits = read_digits(table, [&] { recipe = read_network(table, 64, 10, {40}); });
  auto own = accuracies(
      digits, [&](const Dataset& data) { return std::make_shared<const MlpModel>(recipe.shape, data); });
  return perceptron(MlpFit(recipe.shape, std::move(digits.train)), std::move(recipe.initial), std::move(own));
}

/// Per entry of `channels` a convolution 3 × 3, group norm, activation and 2 × 2 pool; then a dense layer.
Network read_cnn(ConfigTable& table, ImageShape image, int classes) {
  const auto channels = table.list<int>("channels", {8, 16});
  const int groups = table.at_least<int>("groups", 0, 2);
  const Activation activation =
      table.one_of("activation", {"tanh", "silu"}, "tanh") == "tanh" ? Activation::tanh : Activation::silu;
  return table.checked("channels", [&] { return cnn_network(image, channels, classes, activation, groups); });
}

std::unique_ptr<ExperimentProblem> make_cnn_digits(ConfigTable& table) {
  std::optional<Network> network;
  std::vector<double> initial;
  Digits digits = read_digits(table, [&] {
    network = read_cnn(table, {1, 8, 8}, 10);
    initial = read_initial(table, *network);
  });
  auto own = accuracies(
      digits, [&](const Dataset& data) { return std::make_shared<const NetworkModel>(*network, data); });
  return std::make_unique<LargeProblem<NetworkFit>>(NetworkFit(*std::move(network), std::move(digits.train)),
                                                    std::move(initial), std::move(own));
}

std::unique_ptr<ExperimentProblem> make_teacher_student(ConfigTable& table) {
  const int n = table.at_least<int>("samples", 1, 20), inputs = table.at_least<int>("inputs", 1, 10);
  const int outputs = table.at_least<int>("outputs", 1, 1);
  const auto seed = table.get<std::uint64_t>("data_seed", 1);
  NetworkRecipe recipe = read_network(table, inputs, outputs, {20});
  Dataset data = gaussian_inputs(n, inputs, outputs, seed);
  // The teacher is a network of the student's shape with weights of its own.
  const Eigen::VectorXd teacher = initial_parameters(recipe.shape, ~seed);
  set_targets(data, MlpFit(recipe.shape, data), teacher.data());
  return perceptron(MlpFit(recipe.shape, data), std::move(recipe.initial));
}

}  // namespace

void add_network_problems(Registry& registry) {
  registry.problems.add("mlp-digits", "multilayer perceptron on scikit-learn's 8 x 8 digits, squared loss",
                        std::make_shared<ProblemEntry>(ProblemEntry{make_digits}));
  registry.problems.add("cnn-digits", "convolutional network with group norm on the digits, squared loss",
                        std::make_shared<ProblemEntry>(ProblemEntry{make_cnn_digits}));
  registry.problems.add("mlp-teacher", "multilayer perceptron on the outputs of a random teacher",
                        std::make_shared<ProblemEntry>(ProblemEntry{make_teacher_student}));
}

}  // namespace slowsde
