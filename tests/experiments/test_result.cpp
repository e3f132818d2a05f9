#include "slowsde/experiments/result.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>

#include "slowsde/experiments/errors.hpp"
#include "tests/support/scratch.hpp"

using slowsde::IoError;
using slowsde::read_result;
using slowsde::Result;
using slowsde::TextVariable;
using slowsde::Variable;
using slowsde::test::Scratch;

namespace {

Result example() {
  Result r;
  r.dims = {{"series", 2}, {"time", 3}};
  r.attributes = {{"title", "Valley: Σ∥, K = 8"}, {"empty", ""}};
  r.add(TextVariable{"series", "name of the series", {"series"}, {"SGD", "slow SDE (ψ) \"quoted\""}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  r.add(
      Variable{"mean", "1", "mean of tr ∇²L", {"series", "time"}, {0.1, 1.0 / 3, 5e-324, -0.0, 1e308, nan}});
  r.add(Variable{"t", "s", "slow time", {"time"}, {0, 0.5, 1}});
  r.add(Variable{"scalar", "1", "a number", {}, {42}});
  return r;
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a result survives its NetCDF file bit for bit") {
  Scratch dir;
  const Result written = example();
  write_netcdf(written, dir / "result.nc");
  const Result r = read_result(dir / "result.nc");
  CHECK(r.schema == 1);
  CHECK(r.dims == written.dims);
  CHECK(r.attributes == written.attributes);
  REQUIRE(r.variables.size() == 3);
  for (const Variable& v : written.variables) {
    CAPTURE(v.name);
    const Variable& again = r.variable(v.name);
    CHECK(again.units == v.units);
    CHECK(again.long_name == v.long_name);
    CHECK(again.dims == v.dims);
    REQUIRE(again.data.size() == v.data.size());
    CHECK(std::memcmp(again.data.data(), v.data.data(), v.data.size() * sizeof(double)) == 0);
  }
  CHECK(r.text_variable("series").data == written.text_variable("series").data);
  CHECK(r.text_variable("series").dims == std::vector<std::string>{"series"});
}

TEST_CASE("the file opens in xarray with dimensions, units, coordinate texts and NaN as fill") {
  Scratch dir;
  write_netcdf(example(), dir / "result.nc");
  const std::string script =
      "import sys, math, xarray as x; d = x.open_dataset(sys.argv[1]); "
      "assert d['mean'].dims == ('series', 'time'), d; assert d['mean'].attrs['units'] == '1'; "
      "assert float(d['mean'].sel(series='SGD')[1]) == 1/3; assert math.isnan(float(d['mean'][1][2])); "
      "assert str(d.series.values[1]) == 'slow SDE (ψ) \"quoted\"'; assert d.attrs['schema_version'] == 1; "
      "assert math.isnan(d['mean'].encoding['_FillValue']); assert d.attrs['title'].startswith('Valley')";
  const auto file = dir.write("check.py", script);
  CHECK(std::system(("/usr/bin/python3 " + file.string() + " " + (dir / "result.nc").string()).c_str()) == 0);
}

TEST_CASE("a result that is not consistent is refused") {
  const auto refused = [](const std::function<void(Result&)>& change) {
    Result r = example();
    change(r);
    return message_of([&] { r.check(); });
  };
  CHECK(refused([](Result&) {}) == "no error");
  CHECK(refused([](Result& r) { r.dims["sample"] = 0; }) == "dimension sample: length = 0 must be >= 1");
  CHECK(refused([](Result& r) { r.variables[0].data.pop_back(); }) ==
        "variable mean: 5 values do not fill its dimensions (6)");
  CHECK(refused([](Result& r) { r.variables[0].dims[0] = "sries"; }) ==
        "variable mean: dimension sries is not declared");
  CHECK(refused([](Result& r) { r.variables[0].name = "series"; }) == "variable series is there twice");
  CHECK(refused([](Result& r) { r.variables[0].name = ""; }) == "a variable has no name");
  CHECK(message_of([] { example().variable("none"); }) == "the result has no variable none");
}

TEST_CASE("files that can not be written or read are refused in one line") {
  Scratch dir;
  const auto in_nothing = dir / "nothing/result.nc";
  CHECK_THROWS_AS(write_netcdf(example(), in_nothing), IoError);
  CHECK(message_of([&] {
          write_netcdf(example(), in_nothing);
        }).rfind(in_nothing.string() + ": can not create: ", 0) == 0);
  write_netcdf(example(), dir / "result.nc");
  CHECK_THROWS_AS(write_netcdf(example(), dir / "result.nc"), IoError);  // never overwritten

  CHECK_THROWS_AS(read_result(dir / "none.nc"), IoError);
  dir.write("text.nc", "not a NetCDF file");
  CHECK_THROWS_AS(read_result(dir / "text.nc"), IoError);
  const std::string whole = slowsde::test::read_text(dir / "result.nc");
  dir.write("cut.nc", whole.substr(0, whole.size() / 2));
  CHECK_THROWS_AS(read_result(dir / "cut.nc"), IoError);

  Result later = example();
  later.schema = 2;
  write_netcdf(later, dir / "later.nc");
  CHECK(message_of([&] { read_result(dir / "later.nc"); }) ==
        (dir / "later.nc").string() + ": schema version 2 is not one this slowsde reads (1 to 1)");
}
