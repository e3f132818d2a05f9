#include "slowsde/experiments/csv_columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>
#include <string_view>

#include "slowsde/experiments/errors.hpp"

namespace slowsde {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

std::vector<std::string_view> cells_of(std::string_view line, char separator) {
  std::vector<std::string_view> cells;
  for (std::size_t begin = 0;;) {
    bool quoted = false;
    std::size_t end = begin;
    for (; end < line.size() && (quoted || line[end] != separator); ++end)
      if (line[end] == '"') quoted = !quoted;
    cells.push_back(trimmed(line.substr(begin, end - begin)));
    if (end == line.size()) return cells;
    begin = end + 1;
  }
}

std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name.substr(0, name.find_first_of("(["))) {
    if (std::isspace(static_cast<unsigned char>(c)) || c == '_' || c == '-') continue;
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

std::optional<double> number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string shown(std::string_view text) {
  std::string out(text.substr(0, 40));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  return out;
}

}  // namespace

SelectedColumns read_csv_columns(const std::filesystem::path& file,
                                 const std::vector<ColumnRequest>& columns) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw IoError(fmt::format("{}: can not be read: {}", file.string(), std::strerror(errno)));
  if (std::filesystem::is_directory(file)) throw IoError(file.string() + ": is a directory");
  std::size_t line_number = 0, width = 0;
  char separator = ',';
  const auto fail = [&](const std::string& message) {
    throw IoError(fmt::format("{}:{}: {}", file.string(), line_number, message));
  };
  constexpr std::size_t absent = static_cast<std::size_t>(-1);
  std::vector<std::size_t> at(columns.size(), absent);
  SelectedColumns table;
  table.columns.resize(columns.size());
  bool header = true;
  std::string line;
  std::vector<double> row(columns.size());
  while (std::getline(stream, line)) {
    ++line_number;
    std::string_view text = line;
    if (line_number == 1 && text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
    if (trimmed(text).empty() || trimmed(text).front() == '#') continue;
    if (header) {
      header = false;
      for (const char c : {'\t', ';', ','})
        if (text.find(c) != std::string_view::npos) separator = c;
      const auto names = cells_of(text, separator);
      width = names.size();
      std::string missing;
      for (std::size_t c = 0; c < columns.size(); ++c) {
        for (std::size_t j = 0; j < width; ++j) {
          const auto& known = columns[c].names;
          if (std::none_of(known.begin(), known.end(),
                           [&](const std::string& name) { return plain(name) == plain(names[j]); }))
            continue;
          if (at[c] != absent)
            fail(fmt::format("the column {} is there twice, as '{}' and '{}'", columns[c].name,
                             shown(names[at[c]]), shown(names[j])));
          at[c] = j;
        }
        if (at[c] == absent && columns[c].required)
          missing += (missing.empty() ? "" : ", ") + columns[c].name;
      }
      if (!missing.empty()) {
        std::string all;
        for (const std::string_view name : names) all += (all.empty() ? "" : ", ") + shown(name);
        fail(fmt::format("no column is named {}; this line, which should name them, has: {}", missing,
                         all.substr(0, 200)));
      }
      continue;
    }
    const auto cells = cells_of(text, separator);
    if (cells.size() != width) fail(fmt::format("{} cells where the first line has {}", cells.size(), width));
    bool complete = true;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (at[c] == absent) continue;
      const std::string_view cell = cells[at[c]];
      if (cell.empty()) {
        complete = false;
        continue;
      }
      const auto value = number(cell);
      if (!value) fail(fmt::format("{} = '{}' is no finite number", columns[c].name, shown(cell)));
      row[c] = *value;
    }
    if (!complete) {
      ++table.skipped;
      continue;
    }
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (at[c] != absent) table.columns[c].push_back(row[c]);
    table.lines.push_back(line_number);
  }
  if (stream.bad())
    throw IoError(fmt::format("{}: can not be read: {}", file.string(), std::strerror(errno)));
  if (table.lines.empty()) throw IoError(file.string() + ": has no rows");
  return table;
}

}  // namespace slowsde
