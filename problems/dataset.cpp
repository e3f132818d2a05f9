#include "slowsde/problems/dataset.hpp"

#include <numeric>
#include <stdexcept>

#include "slowsde/problems/csv.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "data set", inequality, value);
}

constexpr int digit_pixels = 64, digit_classes = 10;

std::vector<int> first_indices(int n) {
  require(n >= 1, "n >= 1", n);
  std::vector<int> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

}  // namespace

void Dataset::check() const {
  require(n >= 1, "n >= 1", n);
  require(inputs >= 1, "inputs >= 1", inputs);
  require(outputs >= 1, "outputs >= 1", outputs);
  require(x.size() == static_cast<std::size_t>(n) * inputs, "x.size() = n*inputs", x.size());
  require(y.size() == static_cast<std::size_t>(n) * outputs, "y.size() = n*outputs", y.size());
}

void DigitsRecipe::check() const {
  require(pixel_scale > 0, "pixel_scale > 0", pixel_scale);
  require(on > off, "on > off", on);
}

LabelledImages read_labelled_images(const std::string& file, int pixels, int classes) {
  require(pixels >= 1, "pixels >= 1", pixels);
  const CsvTable table = read_csv(file, {.columns = pixels + 1});
  LabelledImages images{.pixels = pixels, .values = {}, .labels = {}};
  images.values.reserve(static_cast<std::size_t>(table.rows()) * pixels);
  for (int row = 0; row < table.rows(); ++row) {
    for (int column = 0; column < pixels; ++column) images.values.push_back(table.at(row, column));
    images.labels.push_back(detail::csv_label(file, table, row, pixels, classes));
  }
  return images;
}

Dataset digits_regression(const LabelledImages& images, const std::vector<int>& indices,
                          const DigitsRecipe& recipe) {
  constexpr int pixels = digit_pixels, classes = digit_classes;
  recipe.check();
  require(!indices.empty(), "n >= 1", indices.size());
  require(images.pixels == pixels, "pixels = 64", images.pixels);
  const auto pixel = [&](int index, int j) {
    if (index < 0 || index >= images.count())
      throw std::out_of_range("there is no image " + std::to_string(index) + " among " +
                              std::to_string(images.count()));
    return recipe.pixel_scale * images.values[static_cast<std::size_t>(index) * pixels + j];
  };
  Dataset data{.n = static_cast<int>(indices.size()), .inputs = pixels, .outputs = classes, .x = {}, .y = {}};
  data.x.reserve(indices.size() * pixels);
  data.y.assign(indices.size() * classes, recipe.off);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    for (int j = 0; j < pixels; ++j) data.x.push_back(pixel(indices[i], j));
    data.y[i * classes + images.labels[indices[i]]] = recipe.on;
  }
  if (recipe.centre) {
    const std::vector<int>& over = recipe.centre_on.empty() ? indices : recipe.centre_on;
    for (int j = 0; j < pixels; ++j) {
      double sum = 0;
      for (const int index : over) sum += pixel(index, j);
      const double mean = sum / static_cast<double>(over.size());
      for (int i = 0; i < data.n; ++i) data.x[static_cast<std::size_t>(i) * pixels + j] -= mean;
    }
  }
  return data;
}

Dataset digits_regression(const std::string& file, const std::vector<int>& indices,
                          const DigitsRecipe& recipe) {
  const LabelledImages images = read_labelled_images(file, digit_pixels, digit_classes);
  try {
    return digits_regression(images, indices, recipe);
  } catch (const std::out_of_range& e) {
    throw std::out_of_range(file + ": " + e.what());
  }
}

Dataset digits_regression(const std::string& file, int first_n, const DigitsRecipe& recipe) {
  return digits_regression(file, first_indices(first_n), recipe);
}
Dataset digits_regression(const LabelledImages& images, int first_n, const DigitsRecipe& recipe) {
  return digits_regression(images, first_indices(first_n), recipe);
}

Dataset gaussian_inputs(int n, int inputs, int outputs, std::uint64_t seed) {
  require(n >= 1, "n >= 1", n);
  require(inputs >= 1, "inputs >= 1", inputs);
  require(outputs >= 1, "outputs >= 1", outputs);
  Dataset data{.n = n, .inputs = inputs, .outputs = outputs, .x = {}, .y = {}};
  data.x.resize(static_cast<std::size_t>(n) * inputs);
  data.y.resize(static_cast<std::size_t>(n) * outputs);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < inputs; ++j) {
      data.x[static_cast<std::size_t>(i) * inputs + j] = normal_at(seed, Stream::initial, i, 0, j);
    }
  }
  return data;
}

}  // namespace slowsde
