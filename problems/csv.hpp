// Tables of numbers as text.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "slowsde/problems/classification_data.hpp"

namespace slowsde {

struct CsvFormat {
  bool header = false;   ///< whether the first line names the columns
  char separator = ',';  ///< blanks around a field do not count
  int columns = 0;       ///< fields per line; 0: as many as the first line has
};

/// A table, row by row.
struct CsvTable {
  std::vector<std::string> names;  ///< (columns) with a header, without quotes around them; else empty
  int columns = 0;
  std::vector<double> values;  ///< (rows × columns), all finite
  int first_line = 1;          ///< the line of row 0 in the file

  int rows() const { return columns == 0 ? 0 : static_cast<int>(values.size()) / columns; }
  double at(int row, int column) const { return values[static_cast<std::size_t>(row) * columns + column]; }
};

/// Throws std::runtime_error "FILE: what is wrong" for a file that cannot be read, is empty or compressed,
/// and "FILE:LINE: what is wrong" for one that ends inside a line, has a line with another number of fields
/// (an empty line has one) or something other than a finite number.
CsvTable read_csv(const std::string& file, const CsvFormat& format = {});

/// Which column is the label: its name in the header, or its number from 0, negative from the end.
using CsvColumn = std::variant<int, std::string>;

struct CsvDataRecipe {
  bool header = false;
  CsvColumn label = -1;
  int classes = 0;                       ///< 0: one more than the largest label
  std::optional<ImageShape> shape = {};  ///< of the other columns; without it (columns − 1, 1, 1)
  double scale = 1;                      ///< x = scale · number

  /// Throws std::invalid_argument unless classes ≥ 0 and the scale is finite and not 0.
  void check() const;
};

/// Throws as read_csv does, and for a label column that is not there, labels that are not integers from 0 to
/// classes − 1, a number of columns that is not that of the shape, and values beyond single precision.
ClassificationData read_csv_data(const std::string& file, const CsvDataRecipe& recipe = {});

namespace detail {

/// The label in this place of the table; throws std::runtime_error "FILE:LINE: …" unless it is an integer
/// from 0 to classes − 1.
int csv_label(const std::string& file, const CsvTable& table, int row, int column, int classes);

}  // namespace detail

}  // namespace slowsde
