#include "slowsde/problems/dataset.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <stdexcept>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "data set", inequality, value);
}

[[noreturn]] void fail(const std::string& file, int line, const std::string& what) {
  throw std::runtime_error(file + ":" + std::to_string(line) + ": " + what);
}

// One number, whole field; blanks around it are allowed.
double number(std::string_view field, const std::string& file, int line, int column) {
  const auto first = field.find_first_not_of(" \t");
  const auto last = field.find_last_not_of(" \t");
  double value = 0;
  if (first != std::string_view::npos) {
    const std::string_view text = field.substr(first, last - first + 1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && std::isfinite(value)) return value;
  }
  fail(file, line,
       "column " + std::to_string(column) + ": '" + std::string(field) + "' is not a finite number");
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
  std::ifstream in(file);
  if (!in) fail(file, 0, "cannot be opened");
  LabelledImages images{.pixels = pixels, .values = {}, .labels = {}};
  std::string text;
  int line = 0;
  while (std::getline(in, text)) {
    ++line;
    if (in.eof()) fail(file, line, "the file ends inside this line");  // every complete line has its newline
    if (!text.empty() && text.back() == '\r') text.pop_back();
    std::string_view rest = text;
    int column = 0;
    for (bool more = true; more;) {
      const auto comma = rest.find(',');
      more = comma != std::string_view::npos;
      const double value = number(rest.substr(0, comma), file, line, ++column);
      if (more) rest.remove_prefix(comma + 1);
      if (column <= pixels) {
        images.values.push_back(value);
      } else if (column == pixels + 1) {
        if (!(value >= 0 && value < classes) || value != std::floor(value)) {
          fail(file, line, "the label is not an integer from 0 to " + std::to_string(classes - 1));
        }
        images.labels.push_back(static_cast<int>(value));
      }
    }
    if (column != pixels + 1) {
      fail(file, line,
           std::to_string(column) + " columns where " + std::to_string(pixels + 1) + " were expected");
    }
  }
  if (line == 0) fail(file, 0, "the file is empty");
  return images;
}

Dataset digits_regression(const std::string& file, const std::vector<int>& indices,
                          const DigitsRecipe& recipe) {
  constexpr int pixels = 64, classes = 10;
  recipe.check();
  require(!indices.empty(), "n >= 1", indices.size());
  const LabelledImages images = read_labelled_images(file, pixels, classes);
  const auto pixel = [&](int index, int j) {
    if (index < 0 || index >= images.count())
      throw std::out_of_range(file + ": there is no image " + std::to_string(index) + " among " +
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

Dataset digits_regression(const std::string& file, int first_n, const DigitsRecipe& recipe) {
  require(first_n >= 1, "n >= 1", first_n);
  std::vector<int> indices(first_n);
  std::iota(indices.begin(), indices.end(), 0);
  return digits_regression(file, indices, recipe);
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
