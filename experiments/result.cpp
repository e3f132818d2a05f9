#include "slowsde/experiments/result.hpp"

#include <fmt/format.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>

#include "slowsde/experiments/errors.hpp"

namespace slowsde {

namespace {

// The length that an HDF5 file in memory says it has; its memory is a multiple of some block. The
// superblock's end-of-file address is at byte 40 in version 0 and at byte 28 in versions 2 and 3.
std::size_t length_of(const NC_memio& image) {
  const auto* bytes = static_cast<const unsigned char*>(image.memory);
  const std::size_t at = image.size < 48 ? 0 : bytes[8] == 0 ? 40 : bytes[8] >= 2 ? 28 : 0;
  std::uint64_t end = 0;
  if (at > 0)
    for (std::size_t i = 8; i-- > 0;) end = end << 8 | bytes[at + i];
  return end > 0 && end < image.size ? static_cast<std::size_t>(end) : image.size;
}

// An open NetCDF file; whatever fails throws with the file's name and what was being done.
class NetcdfFile {
 public:
  // In memory until finish(): a full disk then fails where it can be told, whereas HDF5 would keep the file
  // that it could not write and crash on it when the program ends.
  static NetcdfFile create(const std::filesystem::path& path) {
    NetcdfFile file(path);
    file.must(nc_create_mem(path.c_str(), NC_NETCDF4, 1, &file.id_), "create");
    file.open_ = true;
    return file;
  }
  static NetcdfFile open(const std::filesystem::path& path) {
    NetcdfFile file(path);
    file.must(nc_open(path.c_str(), NC_NOWRITE, &file.id_), "open");
    file.open_ = true;
    return file;
  }
  NetcdfFile(NetcdfFile&& other) noexcept : path_(other.path_), id_(other.id_), open_(other.open_) {
    other.open_ = false;
  }
  NetcdfFile& operator=(NetcdfFile&&) = delete;
  ~NetcdfFile() {
    if (open_) nc_close(id_);
  }

  // Ends a file made by create() and writes it to a new file at its path.
  void finish() {
    NC_memio image{};
    open_ = false;
    must(nc_close_memio(id_, &image), "close");
    const std::unique_ptr<void, decltype(&std::free)> memory(image.memory, &std::free);
    const std::size_t length = length_of(image);
    std::FILE* out = std::fopen(path_.c_str(), "wxb");
    if (!out) fail("create");
    const bool written = std::fwrite(image.memory, 1, length, out) == length;
    const int error = errno;
    const bool closed = std::fclose(out) == 0;
    if (!written) errno = error;
    if (!written || !closed) fail("write");
  }

  void close() {
    open_ = false;
    must(nc_close(id_), "close");
  }

  void must(int status, std::string_view doing) const {
    if (status == NC_NOERR) return;
    throw IoError(fmt::format("{}: can not {}: {}", path_.string(), doing, nc_strerror(status)));
  }
  int id() const { return id_; }

 private:
  explicit NetcdfFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[noreturn]] void fail(std::string_view doing) const {
    throw IoError(fmt::format("{}: can not {}: {}", path_.string(), doing, std::strerror(errno)));
  }

  std::filesystem::path path_;
  int id_ = -1;
  bool open_ = false;
};

void put_text(const NetcdfFile& file, int variable, const char* name, const std::string& text) {
  file.must(nc_put_att_text(file.id(), variable, name, text.size(), text.c_str()),
            fmt::format("write the attribute {}", name));
}

std::string get_text(const NetcdfFile& file, int variable, const char* name) {
  std::size_t length = 0;
  if (nc_inq_attlen(file.id(), variable, name, &length) != NC_NOERR) return "";
  std::string text(length, '\0');
  file.must(nc_get_att_text(file.id(), variable, name, text.data()),
            fmt::format("read the attribute {}", name));
  return text;
}

template <class V>
std::size_t size_of(const Result& result, const V& variable) {
  std::size_t size = 1;
  for (const std::string& dim : variable.dims) {
    const auto at = result.dims.find(dim);
    if (at == result.dims.end()) {
      throw std::invalid_argument(
          fmt::format("variable {}: dimension {} is not declared", variable.name, dim));
    }
    size *= at->second;
  }
  return size;
}

template <class V>
void check_variable(const Result& result, const V& variable, std::set<std::string>& names) {
  if (variable.name.empty()) throw std::invalid_argument("a variable has no name");
  if (!names.insert(variable.name).second) {
    throw std::invalid_argument(fmt::format("variable {} is there twice", variable.name));
  }
  const std::size_t size = size_of(result, variable);
  if (variable.data.size() != size) {
    throw std::invalid_argument(fmt::format("variable {}: {} values do not fill its dimensions ({})",
                                            variable.name, variable.data.size(), size));
  }
}

template <class V>
const V* find_named(const std::vector<V>& variables, std::string_view name) {
  const auto at =
      std::find_if(variables.begin(), variables.end(), [&](const V& v) { return v.name == name; });
  return at == variables.end() ? nullptr : &*at;
}

}  // namespace

Variable& Result::add(Variable variable) { return variables.emplace_back(std::move(variable)); }
TextVariable& Result::add(TextVariable variable) { return text_variables.emplace_back(std::move(variable)); }

const Variable& Result::variable(std::string_view name) const {
  if (const Variable* found = find_named(variables, name)) return *found;
  throw std::invalid_argument(fmt::format("the result has no variable {}", name));
}

const TextVariable& Result::text_variable(std::string_view name) const {
  if (const TextVariable* found = find_named(text_variables, name)) return *found;
  throw std::invalid_argument(fmt::format("the result has no text variable {}", name));
}

bool Result::has(std::string_view name) const {
  return find_named(variables, name) || find_named(text_variables, name);
}

void Result::check() const {
  for (const auto& [name, length] : dims) {
    // NetCDF reads a length of 0 as "unlimited".
    if (length < 1) throw std::invalid_argument(fmt::format("dimension {}: length = 0 must be >= 1", name));
  }
  std::set<std::string> names;
  for (const Variable& v : variables) check_variable(*this, v, names);
  for (const TextVariable& v : text_variables) check_variable(*this, v, names);
}

void write_netcdf(const Result& result, const std::filesystem::path& path) {
  result.check();
  NetcdfFile file = NetcdfFile::create(path);
  const int id = file.id();
  file.must(nc_put_att_int(id, NC_GLOBAL, "schema_version", NC_INT, 1, &result.schema),
            "write the schema version");
  for (const auto& [name, text] : result.attributes) put_text(file, NC_GLOBAL, name.c_str(), text);

  std::map<std::string, int> dim_ids;
  for (const auto& [name, length] : result.dims) {
    file.must(nc_def_dim(id, name.c_str(), length, &dim_ids[name]), "define the dimension " + name);
  }
  const auto define = [&](const std::string& name, const std::vector<std::string>& dims, nc_type type) {
    std::vector<int> ids;
    for (const std::string& dim : dims) ids.push_back(dim_ids.at(dim));
    int variable = -1;
    file.must(nc_def_var(id, name.c_str(), type, static_cast<int>(ids.size()), ids.data(), &variable),
              "define the variable " + name);
    return variable;
  };
  std::vector<int> text_ids, ids;
  for (const TextVariable& v : result.text_variables) {
    text_ids.push_back(define(v.name, v.dims, NC_STRING));
    put_text(file, text_ids.back(), "long_name", v.long_name);
  }
  const double fill = std::numeric_limits<double>::quiet_NaN();
  for (const Variable& v : result.variables) {
    ids.push_back(define(v.name, v.dims, NC_DOUBLE));
    put_text(file, ids.back(), "units", v.units);
    put_text(file, ids.back(), "long_name", v.long_name);
    file.must(nc_def_var_fill(id, ids.back(), NC_FILL, &fill), "set the fill value of " + v.name);
  }
  file.must(nc_enddef(id), "end the definitions");

  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Variable& v = result.variables[i];
    file.must(nc_put_var_double(id, ids[i], v.data.data()), "write " + v.name);
  }
  for (std::size_t i = 0; i < text_ids.size(); ++i) {
    const TextVariable& v = result.text_variables[i];
    std::vector<const char*> texts;
    for (const std::string& text : v.data) texts.push_back(text.c_str());
    file.must(nc_put_var_string(id, text_ids[i], texts.data()), "write " + v.name);
  }
  file.finish();
}

Result read_result(const std::filesystem::path& path) {
  NetcdfFile file = NetcdfFile::open(path);
  const int id = file.id();
  Result result;
  if (nc_get_att_int(id, NC_GLOBAL, "schema_version", &result.schema) != NC_NOERR) {
    throw IoError(path.string() + ": has no schema_version, so it is no result of slowsde");
  }
  if (result.schema < 1 || result.schema > Result::current_schema) {
    throw IoError(fmt::format("{}: schema version {} is not one this slowsde reads (1 to {})", path.string(),
                              result.schema, Result::current_schema));
  }
  char name[NC_MAX_NAME + 1];
  int count = 0;
  file.must(nc_inq_natts(id, &count), "count the attributes");
  for (int i = 0; i < count; ++i) {
    nc_type type = 0;
    file.must(nc_inq_attname(id, NC_GLOBAL, i, name), "read the name of an attribute");
    file.must(nc_inq_atttype(id, NC_GLOBAL, name, &type), "read an attribute");
    if (type == NC_CHAR) result.attributes[name] = get_text(file, NC_GLOBAL, name);
  }
  file.must(nc_inq_ndims(id, &count), "count the dimensions");
  std::vector<std::string> dim_names;
  for (int i = 0; i < count; ++i) {
    std::size_t length = 0;
    file.must(nc_inq_dim(id, i, name, &length), "read a dimension");
    dim_names.emplace_back(name);
    result.dims[name] = length;
  }
  file.must(nc_inq_nvars(id, &count), "count the variables");
  for (int i = 0; i < count; ++i) {
    nc_type type = 0;
    int ndims = 0;
    int dim_ids[NC_MAX_VAR_DIMS];
    file.must(nc_inq_var(id, i, name, &type, &ndims, dim_ids, nullptr), "read a variable");
    std::vector<std::string> dims;
    std::size_t size = 1;
    for (int d = 0; d < ndims; ++d) {
      dims.push_back(dim_names.at(static_cast<std::size_t>(dim_ids[d])));
      size *= result.dims[dims.back()];
    }
    const std::string long_name = get_text(file, i, "long_name");
    if (type == NC_STRING) {
      std::vector<char*> texts(size, nullptr);
      file.must(nc_get_var_string(id, i, texts.data()), fmt::format("read {}", name));
      TextVariable v{name, long_name, dims, {}};
      for (const char* text : texts) v.data.emplace_back(text ? text : "");
      file.must(nc_free_string(size, texts.data()), "free texts");
      result.add(std::move(v));
    } else {
      Variable v{name, get_text(file, i, "units"), long_name, dims, std::vector<double>(size)};
      file.must(nc_get_var_double(id, i, v.data.data()), fmt::format("read {}", name));
      result.add(std::move(v));
    }
  }
  return result;
}

}  // namespace slowsde
