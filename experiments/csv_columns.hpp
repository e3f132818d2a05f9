// Columns of numbers out of somebody else's CSV file: any order, any further columns, named errors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace slowsde {

/// A column by the names that it goes by. Names are compared without regard to case, blanks, '_', '-' and
/// what stands in brackets: "Wall time (s)" is walltime.
struct ColumnRequest {
  std::string name;  ///< in messages
  std::vector<std::string> names;
  bool required = true;
};

struct SelectedColumns {
  std::vector<std::vector<double>> columns;  ///< as asked; empty for one that is not there
  std::vector<std::size_t> lines;            ///< of each row in the file, counted from 1
  std::size_t skipped = 0;                   ///< rows without a value in one of the columns
};

/// Reads a file whose first line names its columns. Separators are commas, semicolons or tabs, whichever the
/// first line has; empty lines and lines that begin with '#' are passed over, and rows that have no value in
/// one of the columns are skipped (logs have such rows). Throws IoError `FILE:LINE: …` for a column that is
/// missing or there twice, a value that is no finite number, a row of another length, and for a file that can
/// not be read or has no rows.
SelectedColumns read_csv_columns(const std::filesystem::path& file,
                                 const std::vector<ColumnRequest>& columns);

}  // namespace slowsde
