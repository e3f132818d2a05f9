#include "slowsde/problems/csv.hpp"

#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string_view>

#include "slowsde/problems/binary_file.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

/// Labels beyond this are taken for something else when the number of classes is not given.
constexpr int most_classes = 1000000;

[[noreturn]] void fail(const std::string& file, int line, const std::string& what) {
  throw std::runtime_error(file + ":" + std::to_string(line) + ": " + what);
}

std::string_view trimmed(std::string_view field) {
  const auto first = field.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return field.substr(first, field.find_last_not_of(" \t") - first + 1);
}

/// A field in a message: printable and not longer than a line.
std::string shown(std::string_view field) {
  std::string text(field.substr(0, 40));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
  return field.size() > 40 ? text + "..." : text;
}

double number(std::string_view field, const std::string& file, int line, int column) {
  const std::string_view text = trimmed(field);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!text.empty() && error == std::errc() && end == text.data() + text.size() && std::isfinite(value)) {
    return value;
  }
  fail(file, line, "column " + std::to_string(column) + ": '" + shown(field) + "' is not a finite number");
}

/// Calls use(field, column) for the fields of a line, columns from 1, and returns how many there are.
template <class Use>
int each_field(std::string_view line, char separator, Use use) {
  int column = 0;
  for (bool more = true; more;) {
    const auto end = line.find(separator);
    more = end != std::string_view::npos;
    use(line.substr(0, end), ++column);
    if (more) line.remove_prefix(end + 1);
  }
  return column;
}

std::string whole_text(const std::string& file) {
  BinaryFile in(file);
  std::string text(in.size(), '\0');
  in.read(text.data(), in.size(), "the text");
  return text;
}

int column_of(const CsvColumn& wanted, const CsvTable& table, const std::string& file) {
  if (const auto* name = std::get_if<std::string>(&wanted)) {
    const auto found = std::find(table.names.begin(), table.names.end(), *name);
    if (table.names.empty()) {
      throw std::runtime_error(file + ": has no header in which a column '" + shown(*name) +
                               "' could be found");
    }
    if (found == table.names.end()) {
      throw std::runtime_error(file + ": there is no column '" + shown(*name) + "'");
    }
    return static_cast<int>(found - table.names.begin());
  }
  const int index = std::get<int>(wanted), column = index < 0 ? index + table.columns : index;
  if (column < 0 || column >= table.columns) {
    throw std::runtime_error(file + ": there is no column " + std::to_string(index) + " among " +
                             std::to_string(table.columns));
  }
  return column;
}

}  // namespace

CsvTable read_csv(const std::string& file, const CsvFormat& format) {
  const std::string text = whole_text(file);
  std::string_view rest = text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // a byte order mark
  CsvTable table{.names = {}, .columns = format.columns, .values = {}, .first_line = format.header ? 2 : 1};
  for (int line = 1; !rest.empty(); ++line) {
    const auto end = rest.find('\n');
    // Every complete line has its newline.
    if (end == std::string_view::npos) fail(file, line, "the file ends inside this line");
    std::string_view content = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (content.ends_with('\r')) content.remove_suffix(1);
    int columns = 0;
    if (line == 1 && format.header) {
      columns = each_field(content, format.separator, [&](std::string_view field, int) {
        field = trimmed(field);
        if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
          field = field.substr(1, field.size() - 2);
        }
        table.names.emplace_back(field);
      });
    } else {
      columns = each_field(content, format.separator, [&](std::string_view field, int column) {
        table.values.push_back(number(field, file, line, column));
      });
    }
    if (table.columns == 0) table.columns = columns;
    if (columns != table.columns) {
      fail(file, line,
           std::to_string(columns) + " columns where " + std::to_string(table.columns) + " were expected");
    }
    if (line == std::numeric_limits<int>::max()) fail(file, line, "there are more than 2^31 - 1 lines");
  }
  if (table.values.empty()) throw std::runtime_error(file + ": has no line of numbers");
  return table;
}

int detail::csv_label(const std::string& file, const CsvTable& table, int row, int column, int classes) {
  const double label = table.at(row, column);
  if (!(label >= 0 && label < classes) || label != std::floor(label)) {
    fail(file, table.first_line + row,
         "the label is not an integer from 0 to " + std::to_string(classes - 1));
  }
  return static_cast<int>(label);
}

void CsvDataRecipe::check() const {
  detail::require(classes >= 0, "CSV data", "classes >= 0", classes);
  detail::require(std::isfinite(scale) && scale != 0, "CSV data", "0 < |scale| < infinity", scale);
}

ClassificationData read_csv_data(const std::string& file, const CsvDataRecipe& recipe) {
  recipe.check();
  const CsvTable table = read_csv(file, {.header = recipe.header});
  const int label = column_of(recipe.label, table, file), inputs = table.columns - 1;
  if (inputs < 1) throw std::runtime_error(file + ": has no column beside the label");
  ClassificationData data{.shape = recipe.shape.value_or(ImageShape{inputs, 1, 1}),
                          .classes = recipe.classes,
                          .x = {},
                          .labels = {}};
  if (data.shape.size() != inputs) {
    throw std::runtime_error(file + ": has " + std::to_string(inputs) + " columns beside the label where " +
                             std::to_string(data.shape.size()) + " were expected");
  }
  data.x.reserve(static_cast<std::size_t>(table.rows()) * inputs);
  for (int row = 0; row < table.rows(); ++row) {
    for (int column = 0; column < table.columns; ++column) {
      if (column == label) continue;
      data.x.push_back(static_cast<float>(recipe.scale * table.at(row, column)));
      if (!std::isfinite(data.x.back())) {
        fail(file, table.first_line + row,
             "column " + std::to_string(column + 1) + " is beyond single precision");
      }
    }
    data.labels.push_back(
        detail::csv_label(file, table, row, label, recipe.classes > 0 ? recipe.classes : most_classes));
  }
  if (recipe.classes == 0) data.classes = classes_among(data.labels, file);
  return data;
}

}  // namespace slowsde
