// Data sets of regression problems: the reader of a table of labelled images, the digits as a regression
// problem, and teacher–student data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slowsde {

/// n pairs (x_i, y_i), row-major: x[i·inputs + j], y[i·outputs + c].
struct Dataset {
  int n = 0;
  int inputs = 0;
  int outputs = 0;
  std::vector<double> x;  ///< (n × inputs)
  std::vector<double> y;  ///< (n × outputs)

  /// Throws std::invalid_argument when a size is not positive or does not match the arrays.
  void check() const;
};

/// Images with their labels as they stand in a file.
struct LabelledImages {
  int pixels = 0;
  std::vector<double> values;  ///< (count × pixels)
  std::vector<int> labels;     ///< (count)
  int count() const { return static_cast<int>(labels.size()); }
};

/// Reads a CSV file without header: `pixels` numbers, then the label (an integer 0 … classes−1), per line.
/// Throws std::runtime_error as read_csv does, and "FILE:LINE: what is wrong" for a line with the wrong
/// number of columns or an impossible label.
LabelledImages read_labelled_images(const std::string& file, int pixels, int classes);

/// How images become a regression problem.
struct DigitsRecipe {
  double pixel_scale = 1.0 / 16;  ///< the pixels of the digits run from 0 to 16
  bool centre = true;             ///< subtract each pixel's mean over the samples in use
  std::vector<int> centre_on{};   ///< samples to take that mean over instead, such as the training set's
  double on = 1;                  ///< target of the output that belongs to the label
  double off = 0;                 ///< target of the nine others

  /// Throws std::invalid_argument: pixel_scale > 0, on > off.
  void check() const;
};

/// The 8 × 8 digits written by scripts/export_digits.py (64 inputs, 10 outputs), samples `indices` in that
/// order:
///   x_ij = pixel_scale·pixel_ij − (mean over the samples in use), y_ic = on if label_i = c, else off.
/// Throws std::runtime_error as read_labelled_images does, std::out_of_range for an index beyond the file.
Dataset digits_regression(const std::string& file, const std::vector<int>& indices,
                          const DigitsRecipe& recipe = {});
/// The first n images of the file.
Dataset digits_regression(const std::string& file, int first_n, const DigitsRecipe& recipe = {});
/// The same of digits in memory. Throws std::invalid_argument unless they have 64 pixels.
Dataset digits_regression(const LabelledImages& images, const std::vector<int>& indices,
                          const DigitsRecipe& recipe = {});
Dataset digits_regression(const LabelledImages& images, int first_n, const DigitsRecipe& recipe = {});

/// Standard normal inputs, addressed by (seed, sample, input); all targets zero until a teacher sets them.
/// Sample i is the same whatever n is.
Dataset gaussian_inputs(int n, int inputs, int outputs, std::uint64_t seed);

/// Teacher–student data: y_i = f(θ_teacher, x_i) for a fit whose `outputs(theta, i, f)` runs over `data.x`.
template <class Fit>
void set_targets(Dataset& data, const Fit& teacher, const double* theta) {
  for (int i = 0; i < data.n; ++i) {
    teacher.outputs(theta, i, data.y.data() + static_cast<std::size_t>(i) * data.outputs);
  }
}

}  // namespace slowsde
