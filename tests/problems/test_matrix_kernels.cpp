#include "slowsde/problems/matrix_kernels.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "slowsde/problems/jet.hpp"
#include "tests/support/networks.hpp"
#include "tests/support/tolerance.hpp"

using namespace slowsde;
using namespace slowsde::detail;

namespace {

template <class Real>
constexpr double rounding = sizeof(Real) == 8 ? 1e-13 : 2e-5;

template <class Real>
std::vector<Real> numbers(std::size_t count, std::uint64_t seed) {
  const Eigen::VectorXd v = test::normals(static_cast<int>(count), seed);
  return {v.begin(), v.end()};
}

// (features × columns) packs with random lanes.
template <class V>
std::vector<V> random_packs(int features, int columns, std::uint64_t seed) {
  std::vector<V> packs(static_cast<std::size_t>(features) * columns);
  const Eigen::VectorXd v = test::normals(features * columns * lane_count<V>, seed);
  for (std::size_t i = 0; i < packs.size(); ++i)
    for (int l = 0; l < lane_count<V>; ++l) set_lane(packs[i], l, v[static_cast<int>(i) * lane_count<V> + l]);
  return packs;
}

// Row and column counts below, at and above the sizes of all blocks.
template <class Check>
void over_shapes(Check check) {
  for (const int rows : {1, 2, 5, 8, 15})
    for (const int terms : {1, 3, 9})
      for (const int columns : {1, 4, 6}) {
        CAPTURE(rows);
        CAPTURE(terms);
        CAPTURE(columns);
        check(rows, terms, columns);
      }
}

template <class Real>
void check_dense_products() {
  using V = Pack<Real>;
  over_shapes([](int rows, int terms, int columns) {
    const std::vector<Real> w = numbers<Real>(static_cast<std::size_t>(rows) * terms, 1);
    const std::vector<V> a = random_packs<V>(terms, columns, 2), d = random_packs<V>(rows, columns, 3);
    for (const bool add : {false, true}) {
      std::vector<V> forward = random_packs<V>(rows, columns, 4), back = random_packs<V>(terms, columns, 5);
      const std::vector<V> forward0 = forward, back0 = back;
      Product<V, SharedWeights<V, Real>> p{.w = {{{w.data()}}},
                                           .a = {a.data()},
                                           .pairs = 1,
                                           .rows = rows,
                                           .terms = terms,
                                           .columns = columns,
                                           .row_weights = terms,
                                           .term_weights = 1,
                                           .out = forward.data(),
                                           .add = add};
      product<ProductKind::dense>(p);
      p.rows = terms;
      p.terms = rows;
      p.row_weights = 1;
      p.term_weights = terms;
      p.a[0] = d.data();
      p.out = back.data();
      product<ProductKind::dense_transposed>(p);
      for (int c = 0; c < columns; ++c)
        for (int l = 0; l < V::width; ++l) {
          for (int r = 0; r < rows; ++r) {
            double sum = add ? static_cast<double>(forward0[r * columns + c][l]) : 0.0;
            for (int q = 0; q < terms; ++q)
              sum += static_cast<double>(w[r * terms + q]) * a[q * columns + c][l];
            CHECK(test::near(forward[r * columns + c][l], sum, rounding<Real>));
          }
          for (int q = 0; q < terms; ++q) {
            double sum = add ? static_cast<double>(back0[q * columns + c][l]) : 0.0;
            for (int r = 0; r < rows; ++r)
              sum += static_cast<double>(w[r * terms + q]) * d[r * columns + c][l];
            CHECK(test::near(back[q * columns + c][l], sum, rounding<Real>));
          }
        }
    }
  });
}

template <class Real>
void check_outer_products() {
  using V = Pack<Real>;
  over_shapes([](int rows, int terms, int columns) {
    const int inputs = terms * 11;  // 11, 33 and 99: whole packs and a part of one
    const std::vector<V> d = random_packs<V>(rows, columns, 3), a = random_packs<V>(inputs, columns, 2);
    std::vector<V> transposed(transposed_size<V>(inputs, columns));
    transpose_features(a.data(), inputs, columns, transposed.data());
    for (const bool add : {false, true}) {
      std::vector<Real> g = numbers<Real>(static_cast<std::size_t>(rows) * inputs + 1, 6);
      const std::vector<Real> g0 = g;
      outer_products(OuterProduct<V, Real>{.delta = d.data(),
                                           .transposed = transposed.data(),
                                           .rows = rows,
                                           .columns = columns,
                                           .inputs = inputs,
                                           .packs = (inputs + V::width - 1) / V::width,
                                           .g = g.data(),
                                           .add = add});
      CHECK(g.back() == g0.back());  // nothing is written beyond the end
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < inputs; ++j) {
          double sum = add ? static_cast<double>(g0[r * inputs + j]) : 0.0;
          for (int c = 0; c < columns; ++c)
            for (int l = 0; l < V::width; ++l)
              sum += static_cast<double>(d[r * columns + c][l]) * a[j * columns + c][l];
          CHECK(test::near(g[r * inputs + j], sum, 20 * rounding<Real>));
        }
    }
  });
}

template <class Real>
void check_lanes() {
  using V = Pack<Real>;
  constexpr int W = V::width;
  V x[W];
  for (int k = 0; k < W; ++k)
    for (int l = 0; l < W; ++l) x[k].set(l, static_cast<Real>(100 * k + l));
  const V sums = lane_sums(x);
  for (int k = 0; k < W; ++k) CHECK(sums[k] == 100 * k * W + W * (W - 1) / 2);
  CHECK(lane_sum(x[3]) == sums[3]);
  transpose(x);
  for (int k = 0; k < W; ++k)
    for (int l = 0; l < W; ++l) CHECK(x[k][l] == 100 * l + k);
  for (const int rows : {1, W - 1, W, 2 * W + 3}) {
    const std::vector<V> rows_of = random_packs<V>(rows, 3, 8);
    for (const bool add : {false, true}) {
      std::vector<Real> g(rows + 1, Real{2});
      row_sums(rows_of.data(), rows, 3, g.data(), add);
      CHECK(g.back() == 2);
      for (int r = 0; r < rows; ++r) {
        double sum = add ? 2 : 0;
        for (int c = 0; c < 3; ++c)
          for (int l = 0; l < W; ++l) sum += static_cast<double>(rows_of[r * 3 + c][l]);
        CHECK(test::near(g[r], sum, rounding<Real>));
      }
    }
  }
}

}  // namespace

TEST_CASE("W a and its transpose are the sums over their terms") {
  check_dense_products<double>();
  check_dense_products<float>();
}

TEST_CASE("the weights' gradient is the sum of the samples' outer products") {
  check_outer_products<double>();
  check_outer_products<float>();
}

TEST_CASE("packs are transposed and summed over their lanes") {
  check_lanes<double>();
  check_lanes<float>();
}

TEST_CASE("weights of their own per lane, numbers and jets give the products of every lane") {
  using V = Pack<double>;
  const int rows = 9, terms = 4, columns = 5;
  const std::vector<V> a = random_packs<V>(terms, columns, 2);
  // One set of weights per lane, the same in all columns; and one per lane of every column.
  const std::vector<V> w = random_packs<V>(rows * terms, 1, 3),
                       own = random_packs<V>(columns, rows * terms, 4);
  std::vector<V> shared(rows * columns), single(rows * columns);
  Product<V, SharedWeights<V, V>> p{.w = {{{w.data()}}},
                                    .a = {a.data()},
                                    .pairs = 1,
                                    .rows = rows,
                                    .terms = terms,
                                    .columns = columns,
                                    .row_weights = terms,
                                    .term_weights = 1,
                                    .out = shared.data()};
  product<ProductKind::dense>(p);
  product<ProductKind::dense>(Product<V, ColumnWeights<V>>{.w = {{{own.data(), rows * terms}}},
                                                           .a = {a.data()},
                                                           .pairs = 1,
                                                           .rows = rows,
                                                           .terms = terms,
                                                           .columns = columns,
                                                           .row_weights = terms,
                                                           .term_weights = 1,
                                                           .out = single.data()});
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c)
      for (int l = 0; l < V::width; ++l) {
        double one = 0, two = 0;
        for (int q = 0; q < terms; ++q) {
          one += w[r * terms + q][l] * a[q * columns + c][l];
          two += own[c * rows * terms + r * terms + q][l] * a[q * columns + c][l];
        }
        CHECK(test::near(shared[r * columns + c][l], one, 1e-14));
        CHECK(test::near(single[r * columns + c][l], two, 1e-14));
      }
  using Jet = Taylor<double, 1>;
  const std::vector<Jet> jw = {Jet::line(2, 3), Jet::line(-1, 5)}, x = {Jet::line(1, 4), Jet::line(7, -2)};
  std::vector<Jet> z(1);
  product<ProductKind::dense>(Product<Jet, SharedWeights<Jet, Jet>>{.w = {{{jw.data()}}},
                                                                    .a = {x.data()},
                                                                    .pairs = 1,
                                                                    .rows = 1,
                                                                    .terms = 2,
                                                                    .columns = 1,
                                                                    .row_weights = 2,
                                                                    .term_weights = 1,
                                                                    .out = z.data()});
  CHECK(z[0].c[0] == 2 * 1 - 7);
  CHECK(z[0].c[1] == 2 * 4 + 3 * 1 + 5 * 7 + 1 * 2);
}
