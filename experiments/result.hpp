// What an experiment leaves: named arrays with dimensions and units, and their NetCDF-4 file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slowsde {

/// An array of doubles; counts are stored as doubles too, exact up to 2^53.
struct Variable {
  std::string name;
  std::string units = "1";
  std::string long_name;
  std::vector<std::string> dims;  ///< names of the dimensions, slowest first; none: a scalar
  std::vector<double> data;       ///< row-major; NaN where there is no value
};

/// An array of texts, such as the coordinate variable series(series).
struct TextVariable {
  std::string name;
  std::string long_name;
  std::vector<std::string> dims;
  std::vector<std::string> data;
};

struct ResultPart;

/// The results of one experiment.
struct Result {
  static constexpr int current_schema = 1;

  int schema = current_schema;
  std::map<std::string, std::size_t> dims;  ///< length of each dimension, at least 1
  std::vector<Variable> variables;
  std::vector<TextVariable> text_variables;
  std::map<std::string, std::string> attributes;  ///< global attributes, such as `title`
  std::vector<ResultPart> parts;  ///< results of a suite's parts, each a run directory of its own

  std::string summary;                       ///< what a reader wants to know first, some lines of text
  std::vector<std::string> warnings;         ///< one line each
  std::string regime;                        ///< JSON: how far the theory's assumptions hold; may be empty
  long long replicas = 0, diverged = 0;      ///< trajectories in all, and those of them that diverged
  std::vector<std::string> diverged_series;  ///< names of the series of which every replica diverged

  Variable& add(Variable variable);  ///< appends, and returns the one appended
  TextVariable& add(TextVariable variable);
  /// Throws std::invalid_argument if there is no such variable.
  const Variable& variable(std::string_view name) const;
  const TextVariable& text_variable(std::string_view name) const;
  bool has(std::string_view name) const;

  /// Throws std::invalid_argument naming the violation: a dimension that is not declared or of length 0, a
  /// variable whose data do not fill its dimensions, a name used twice.
  void check() const;
};

struct ResultPart {
  std::string name;    ///< also the name of its directory
  std::string config;  ///< its effective configuration, TOML
  std::optional<std::uint64_t> seed;
  double wall_seconds = 0;
  Result result;
};

/// Writes dims, variables and attributes as NetCDF-4: doubles with _FillValue NaN, texts as NC_STRING,
/// `units` and `long_name` on each variable, `schema_version` and the attributes on the file. Throws IoError.
/// The NetCDF library is not thread-safe: one call at a time.
void write_netcdf(const Result& result, const std::filesystem::path& file);

/// Reads what write_netcdf wrote; the rest of the Result keeps its defaults. Throws IoError for a file that
/// is missing, not NetCDF, or of a later schema.
Result read_result(const std::filesystem::path& file);

}  // namespace slowsde
