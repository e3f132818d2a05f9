#include "slowsde/problems/npy.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

std::string npy(const std::string& dictionary, const std::string& values, int version = 1) {
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' +
         test::little_endian(dictionary.size(), version == 1 ? 2 : 4) + dictionary + values;
}

std::string dictionary(const std::string& descr, const std::string& shape,
                       const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }   \n";
}

template <class T>
std::string raw(const std::vector<T>& values) {
  std::string text(values.size() * sizeof(T), '\0');
  std::memcpy(text.data(), values.data(), text.size());
  return text;
}

}  // namespace

TEST_CASE("what numpy writes is read back, in every type and version") {
  const test::Scratch scratch;
  const auto script = scratch.write("write.py", R"(
import sys, numpy as np
from numpy.lib import format
folder = sys.argv[1]
a = np.arange(24).reshape(2, 3, 4) * 7 - 20
for kind in ["f4", "f8", "i4", "i8", "u1"]:
    for version in [(1, 0), (2, 0), (3, 0)]:
        with open(f"{folder}/{kind}_{version[0]}.npy", "wb") as out:
            format.write_array(out, (a + 20 if kind == "u1" else a + (0.25 if kind[0] == "f" else 0)).astype("<" + kind), version=version)
np.save(f"{folder}/plain.npy", np.array([1.5, -2.25]))
np.save(f"{folder}/scalar.npy", np.array(7, dtype="<i8"))
np.save(f"{folder}/fortran.npy", np.asfortranarray(np.zeros((3, 4))))
np.save(f"{folder}/column.npy", np.asfortranarray(np.arange(3.0)))
np.save(f"{folder}/big.npy", np.zeros(3, dtype=">f8"))
np.save(f"{folder}/half.npy", np.zeros(3, dtype="<f2"))
np.save(f"{folder}/truth.npy", np.zeros(3, dtype=bool))
np.save(f"{folder}/record.npy", np.zeros(3, dtype=[("a", "<f8"), ("b", "<i4")]))
np.save(f"{folder}/object.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
np.savez(f"{folder}/zip.npz", a)
)");
  REQUIRE(std::system(("/usr/bin/python3 " + script.string() + " " + scratch.path().string()).c_str()) == 0);
  const std::vector<std::pair<std::string, NpyType>> types{{"f4", NpyType::f4},
                                                           {"f8", NpyType::f8},
                                                           {"i4", NpyType::i4},
                                                           {"i8", NpyType::i8},
                                                           {"u1", NpyType::u1}};
  for (const auto& [name, type] : types) {
    for (const int version : {1, 2, 3}) {
      CAPTURE(name);
      const NpyArray array = read_npy((scratch / (name + "_" + std::to_string(version) + ".npy")).string());
      CHECK(array.type == type);
      CHECK(array.shape == std::vector<std::uint64_t>{2, 3, 4});
      REQUIRE(array.size() == 24);
      const double offset = name == "u1" ? 0 : name[0] == 'f' ? -19.75 : -20;
      for (std::uint64_t k = 0; k < 24; ++k) REQUIRE(array.value(k) == 7.0 * static_cast<double>(k) + offset);
    }
  }
  const NpyArray plain = read_npy((scratch / "plain.npy").string());
  CHECK(plain.shape == std::vector<std::uint64_t>{2});
  CHECK(plain.value(1) == -2.25);
  const NpyArray scalar = read_npy((scratch / "scalar.npy").string());
  CHECK(scalar.shape.empty());
  CHECK(scalar.size() == 1);
  CHECK(scalar.value(0) == 7);
  CHECK(read_npy((scratch / "column.npy").string()).value(2) == 2);

  const auto says = [&](const char* name) {
    return test::refusal(scratch / name, [](const std::string& file) { read_npy(file); });
  };
  CHECK(says("fortran.npy") == " is in Fortran order; save numpy.ascontiguousarray of it");
  CHECK(says("big.npy") == " holds big-endian values '>f8'; save little-endian ones");
  CHECK(says("half.npy") == " holds values of type '<f2'; f4, f8, i4, i8 and u1 are read");
  CHECK(says("truth.npy") == " holds values of type '|b1'; f4, f8, i4, i8 and u1 are read");
  CHECK(says("object.npy") == " holds values of type '|O'; f4, f8, i4, i8 and u1 are read");
  CHECK(says("record.npy") == " holds records of several fields; save one plain array");
  CHECK(says("zip.npz") == " is a zip archive: unpack it first");
}

TEST_CASE("damaged NPY files are refused in one line before anything is allocated") {
  const test::Scratch scratch;
  const auto read = [](const std::string& file) { read_npy(file); };
  const auto says = [&](const std::string& text) {
    return test::refusal(scratch.write("bad.npy", text), read);
  };
  const std::string six = raw<float>({1, 2, 3, 4, 5, 6});
  CHECK(test::refuses_what_is_no_data_file(scratch.path(), read));
  CHECK(says("") == " is empty");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six)) == "no error");
  CHECK(says("\x93NUM") == " ends within the NPY header: 6 bytes needed, 4 left");
  CHECK(says("NUMPY   ") == " is not an NPY file: it does not begin with \\x93NUMPY");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six, 4)) == " has NPY format version 4.0; 1.0 to 3.0 are read");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six, 0)) == " has NPY format version 0.0; 1.0 to 3.0 are read");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six).substr(0, 30)) == " ends within the NPY header");
  // A header of 4 GB in a file of 12 bytes.
  CHECK(says(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12)) == " ends within the NPY header");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six.substr(1))) ==
        " its header claims 2 x 3 x 4 = 24 bytes, but 23 follow: it is truncated or its header is wrong");
  CHECK(says(npy(dictionary("<f4", "(2, 3)"), six + "!")) ==
        " its header claims 2 x 3 x 4 = 24 bytes, but 25 follow: it is longer than it says");
  CHECK(says(npy(dictionary("<f4", "(288230376151711744,)"), six)) ==
        " its header claims 288230376151711744 x 4 = 1152921504606846976 bytes, but 24 follow: it is "
        "truncated or its "
        "header is wrong");
  // 2⁶⁴ + 24 bytes: 24 modulo 2⁶⁴.
  CHECK(says(npy(dictionary("<f4", "(4611686018427387910,)"), six)) ==
        " its header claims 4611686018427387910 x 4 bytes, which no file has");
  for (const std::string& bad :
       {std::string("{'descr': '<f4', 'fortran_order': False}"),
        std::string("{'descr': '<f4', 'shape': (2, 3)}"), dictionary("<f4", "(2, -3)"),
        dictionary("<f4", "(2, 3"), dictionary("<f4", "(2, 99999999999999999999)"), dictionary("<f4", "2, 3"),
        dictionary("<f4", "(2 3)"), dictionary("<f4", "(2, 3)", "false"), dictionary("<f4", "(2, 3)") + "x",
        std::string("{'descr: <f4}"), std::string("{"), std::string(""),
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}"),
        std::string("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}")}) {
    CAPTURE(bad);
    CHECK(says(npy(bad, six)) == " its NPY header cannot be understood");
  }
  CHECK(says(npy("{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", six)) == "no error");
}

TEST_CASE("samples become features, images or images of several channels by their dimensions") {
  const test::Scratch scratch;
  const auto labels =
      scratch.write("y.npy", npy(dictionary("<i8", "(2,)"), raw<std::int64_t>({2, 0}))).string();
  std::vector<float> values(24);
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k);
  const auto shape = [&](const std::string& text) {
    const auto file = scratch.write("x.npy", npy(dictionary("<f4", text), raw(values)));
    const ClassificationData data = read_npy_data(file.string(), labels, 0, 0.5);
    data.check();
    CHECK(data.classes == 3);
    CHECK(data.labels == std::vector<int>{2, 0});
    CHECK(data.x[23] == 11.5f);
    return data.shape;
  };
  CHECK(shape("(2, 12)") == ImageShape{12, 1, 1});
  CHECK(shape("(2, 3, 4)") == ImageShape{1, 3, 4});
  CHECK(shape("(2, 2, 2, 3)") == ImageShape{2, 2, 3});
}

TEST_CASE("samples and labels that make no data set are refused") {
  const test::Scratch scratch;
  const auto good_x =
      scratch.write("good_x.npy", npy(dictionary("<f8", "(2, 3)"), raw<double>({1, 2, 3, 4, 5, 6})));
  const auto good_y = scratch.write("good_y.npy", npy(dictionary("<i4", "(2,)"), raw<std::int32_t>({0, 1})));
  const auto x_says = [&](const std::string& text) {
    return test::refusal(scratch.write("x.npy", text),
                         [&](const std::string& file) { read_npy_data(file, good_y.string()); });
  };
  const auto y_says = [&](const std::string& text, int classes = 0) {
    return test::refusal(scratch.write("y.npy", text),
                         [&](const std::string& file) { read_npy_data(good_x.string(), file, classes); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(x_says(npy(dictionary("<f8", "(2, 3)"), raw<double>({1, 2, 3, 4, nan, 6}))) ==
        " value 1 of sample 1 is not a finite number in single precision");
  CHECK(x_says(npy(dictionary("<f8", "(2, 3)"), raw<double>({1, 2, 1e300, 4, 5, 6}))) ==
        " value 2 of sample 0 is not a finite number in single precision");
  CHECK(x_says(npy(dictionary("<f8", "(2,)"), raw<double>({1, 2}))) ==
        " has shape (2,); (n, m), (n, height, width) or (n, channels, height, width) are read");
  CHECK(x_says(npy(dictionary("<f8", "(0, 18446744073709551615)"), "")) == " holds no values");
  CHECK(x_says(npy(dictionary("<f8", "(2, 0)"), "")) == " holds no values");
  CHECK(y_says(npy(dictionary("<i4", "(3,)"), raw<std::int32_t>({0, 1, 2}))) ==
        " has shape (3,) where the samples of " + good_x.string() + " need (2,)");
  CHECK(y_says(npy(dictionary("<i4", "(2, 1)"), raw<std::int32_t>({0, 1}))) ==
        " has shape (2, 1) where the samples of " + good_x.string() + " need (2,)");
  CHECK(y_says(npy(dictionary("<f8", "(2,)"), raw<double>({0, 1}))) ==
        " holds labels that are not of an integer type");
  CHECK(y_says(npy(dictionary("<i8", "(2,)"), raw<std::int64_t>({0, -1}))) ==
        " the label of sample 1 is not an integer from 0 to 999999");
  CHECK(y_says(npy(dictionary("<i8", "(2,)"), raw<std::int64_t>({std::int64_t{1} << 62, 1}))) ==
        " the label of sample 0 is not an integer from 0 to 999999");
  CHECK(
      y_says(npy(dictionary("<i4", "(2,)"), raw<std::int32_t>({0, 1000}))) ==
      " the largest label is 1000 among 2 samples: these are no labels, or else give the number of classes");
  CHECK(y_says(npy(dictionary("<i4", "(2,)"), raw<std::int32_t>({0, 3})), 3) ==
        " the label of sample 1 is not an integer from 0 to 2");
  CHECK(y_says(npy(dictionary("<i4", "(2,)"), raw<std::int32_t>({0, 3})), 4) == "no error");
}
