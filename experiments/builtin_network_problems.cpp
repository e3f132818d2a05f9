#include <Eigen/Core>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/problems/accuracy.hpp"
#include "slowsde/problems/mlp.hpp"

namespace slowsde {
namespace {

struct NetworkRecipe {
  MlpShape shape;
  std::vector<double> initial;  ///< weights before training
};

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
  const auto seed = table.get<std::uint64_t>("init_seed", 1);
  const auto gain = table.list<double>("init_gain", std::vector<double>(recipe.shape.widths.size() - 1, 1.0));
  table.check("init_gain", gain.size() + 1 == recipe.shape.widths.size(), "must have one entry per layer");
  const Eigen::VectorXd theta = initial_parameters(recipe.shape, seed, gain);
  recipe.initial.assign(theta.begin(), theta.end());
  return recipe;
}

OwnObservable accuracy_observable(std::string name, const MlpShape& shape, const Dataset& data) {
  auto model = std::make_shared<const MlpModel>(shape, data);
  return {std::move(name), [model, y = data.y](const double* theta) {
            return accuracy(*model, y, Eigen::Map<const Eigen::VectorXd>(theta, model->dim()));
          }};
}

std::unique_ptr<ExperimentProblem> make_digits(ConfigTable& table) {
  const auto file = table.get<std::string>("data", "results/data/digits.csv");
  const int n = table.at_least<int>("samples", 1, 40);
  const int first = table.at_least<int>("first", 0, 0);
  std::vector<int> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), first);
  DigitsRecipe digits;
  digits.centre = table.get<bool>("centre", digits.centre);
  NetworkRecipe recipe = read_network(table, 64, 10, {40});
  Dataset data;
  try {
    data = digits_regression(file, indices, digits);
  } catch (const std::out_of_range& e) {
    throw table.error("samples", std::string("is too many: ") + e.what());
  } catch (const std::runtime_error& e) {
    throw IoError(std::string(e.what()) + " (problem.data; scripts/export_digits.py writes the digits)");
  }
  // Test images are those that follow in the file, less the mean of the training images.
  digits.centre_on = indices;
  const int following = read_labelled_images(file, 64, 10).count() - (first + n);
  const int tested = table.at_least<int>("test_samples", 0, following);
  table.check("test_samples", tested <= following,
              "must be <= " + std::to_string(following) + ", the images that follow those of the training");
  std::vector<OwnObservable> own = {accuracy_observable("train_accuracy", recipe.shape, data)};
  if (tested > 0) {
    std::vector<int> test(static_cast<std::size_t>(tested));
    std::iota(test.begin(), test.end(), first + n);
    own.push_back(accuracy_observable("test_accuracy", recipe.shape, digits_regression(file, test, digits)));
  }
  return std::make_unique<LargeProblem<MlpFit>>(MlpFit(recipe.shape, std::move(data)),
                                                std::move(recipe.initial), std::move(own));
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
  return std::make_unique<LargeProblem<MlpFit>>(MlpFit(recipe.shape, data), std::move(recipe.initial));
}

}  // namespace

void add_network_problems(Registry& registry) {
  registry.problems.add("mlp-digits", "multilayer perceptron on scikit-learn's 8 x 8 digits, squared loss",
                        std::make_shared<ProblemEntry>(ProblemEntry{make_digits}));
  registry.problems.add("mlp-teacher", "multilayer perceptron on the outputs of a random teacher",
                        std::make_shared<ProblemEntry>(ProblemEntry{make_teacher_student}));
}

}  // namespace slowsde
