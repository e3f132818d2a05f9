#include "slowsde/experiments/builtin_problems.hpp"
#include "slowsde/experiments/problem_entry.hpp"
#include "slowsde/problems/diagonal_network.hpp"
#include "slowsde/problems/matrix_factorization.hpp"
#include "slowsde/problems/matrix_sensing.hpp"

namespace slowsde {
namespace {

RandomLowRank read_matrix(ConfigTable& table, RandomLowRank recipe) {
  recipe.rows = table.at_least<int>("rows", 1, recipe.rows);
  recipe.cols = table.at_least<int>("cols", 1, recipe.cols);
  recipe.rank = table.at_least<int>("rank", 1, recipe.rank);
  recipe.seed = table.get<std::uint64_t>("data_seed", recipe.seed);
  recipe.check();
  return recipe;
}

}  // namespace

void add_matrix_problems(Registry& registry) {
  add_problem<DiagonalNetwork>(
      registry, "diagonal-network", "f = <u*u - v*v, x>: sparse regression",
      [](ConfigTable& table) {
        SparseRegression recipe;
        recipe.samples = table.at_least<int>("samples", 1, recipe.samples);
        recipe.features = table.at_least<int>("features", 1, recipe.features);
        recipe.sparsity = table.at_least<int>("sparsity", 0, recipe.sparsity);
        recipe.seed = table.get<std::uint64_t>("data_seed", recipe.seed);
        return DiagonalNetwork(recipe.generate());
      },
      kernels_of<DiagonalNetwork>());
  add_problem<MatrixFactorization>(registry, "matrix-factorization",
                                   "L = |UV' - M|^2/2 for a random M of low rank", [](ConfigTable& table) {
                                     const RandomLowRank recipe = read_matrix(table, {});
                                     return MatrixFactorization(recipe,
                                                                table.at_least<int>("inner", 1, recipe.rank));
                                   });
  add_problem<MatrixSensing>(
      registry, "matrix-sensing", "y = <A, UV'> for random Gaussian A",
      [](ConfigTable& table) {
        RandomSensing recipe;
        recipe.matrix = read_matrix(table, recipe.matrix);
        recipe.samples = table.at_least<int>("samples", 1, recipe.samples);
        return MatrixSensing(recipe.generate(), table.at_least<int>("inner", 1, 3));
      },
      kernels_of<MatrixSensing>());
}

}  // namespace slowsde
