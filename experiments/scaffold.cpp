#include "slowsde/experiments/scaffold.hpp"

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <string_view>

namespace slowsde {

namespace {

constexpr std::string_view keywords =
    " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t "
    "char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export "
    "extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq "
    "nullptr operator or or_eq private protected public register reinterpret_cast requires return "
    "short signed sizeof slowsde static static_assert static_cast std struct switch template this "
    "thread_local throw true try typedef typeid typename union unsigned using virtual void volatile "
    "wchar_t while xor xor_eq main ";

constexpr const char* header =
    R"(// NAME: a least-squares problem in the plane. Replace outputs() by your own.
//
// L(theta) = (1/2n) sum_i (f_i(theta) - y_i)^2. The same text serves doubles, derivatives, SIMD lanes and CUDA, so
// write it for any scalar type T: call mathematics unqualified (sqrt, not std::sqrt) and do not branch on values.
#pragma once

#include <cmath>

#include "slowsde/problems/host_device.hpp"

struct NAME {
  static constexpr int dim = 2;            // d, the number of parameters
  static constexpr int outputs_count = 1;  // C, the number of outputs of a sample
  int samples() const { return 1; }        // n

  // The C outputs of sample i. This one makes L = (1 + x^2) y^2 / 2: the minimisers are the line y = 0, and they are
  // the flatter the nearer x is to 0.
  template <class T, class I>
  SLOWSDE_HD void outputs(const T* theta, const I& /*i*/, T* f) const {
    using std::sqrt;
    const T &x = theta[0], &y = theta[1];
    f[0] = sqrt(1.0 + x * x) * y;
  }

  // What sample i should give.
  template <class I, class T>
  SLOWSDE_HD void targets(const I& /*i*/, T* y) const {
    y[0] = T(0.0);
  }
};
)";

constexpr const char* cmake = R"(cmake_minimum_required(VERSION 3.25)
project(NAME LANGUAGES CXX)
find_package(slowsde REQUIRED@HINTS@)
# A program build/slowsde that knows the struct NAME of this header as the problem "NAME".
slowsde_add_problem(NAME NAME.hpp)
)";

constexpr const char* config = R"(kind = "ensemble"
title = "SGD and Local SGD on NAME beside their slow SDEs"
seed = 1

[problem]
name = "NAME"

[start]
point = [1.5, 0.0]

[noise]
kind = "label"
sigma = 1.0

[run]
replicas = 1000
slow_time = 2.0
outputs = 9
observables = ["trace", "x0"]

[[iterates]]
name = "SGD"
workers = 8
local_batch = 1
lr = { schedule = "constant", peak = 0.02 }
rule = { name = "constant", local_steps = 1 }

[[iterates]]
name = "Local SGD, H = 50"
workers = 8
local_batch = 1
lr = { schedule = "constant", peak = 0.02 }
rule = { name = "constant", local_steps = 50 }

[[models]]
name = "slow SDE of SGD"
of = "SGD"
theory = "slow-sde"
moment = "sgd"

[[models]]
name = "slow SDE of Local SGD"
of = "Local SGD, H = 50"
theory = "slow-sde"
moment = "psi"
)";

constexpr const char* readme = R"(# NAME

A problem for slowsde: `NAME.hpp` is the loss, `NAME.toml` an experiment on it. In this directory:

    cmake -S . -B build
    cmake --build build
    build/slowsde run NAME.toml
    build/slowsde plot results/NAME

The first finds the slowsde that wrote these files; another is named by -Dslowsde_DIR=<its build directory, or
lib/cmake/slowsde of an installation>. `build/slowsde` is a slowsde with all commands that knows NAME beside the
library's problems. The figures are in `results/NAME/figures`.
)";

std::string filled(std::string_view text, const std::string& name) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, 4) == "NAME") {
      out += name;
      at += 4;
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace

void check_identifier(const std::string& name) {
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument("'" + name + "' can not name a C++ struct: " + why);
  };
  const bool letters = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c < 128 && (std::isalnum(c) || c == '_');
  });
  if (!letters) refuse("it must be made of letters, digits and '_'");
  if (std::isdigit(static_cast<unsigned char>(name[0]))) refuse("it begins with a digit");
  if (name[0] == '_' || name.find("__") != std::string::npos) refuse("such names are reserved");
  if (keywords.find(" " + name + " ") != std::string_view::npos) refuse("it is taken by the language");
}

std::vector<std::pair<std::string, std::string>> problem_scaffold(const std::string& name,
                                                                  const std::string& package) {
  check_identifier(name);
  std::string build = filled(cmake, name);
  const std::string_view mark = "@HINTS@";
  build.replace(build.find(mark), mark.size(), package.empty() ? "" : " HINTS [==[" + package + "]==]");
  return {{name + ".hpp", filled(header, name)},
          {"CMakeLists.txt", build},
          {name + ".toml", filled(config, name)},
          {"README.md", filled(readme, name)}};
}

}  // namespace slowsde
