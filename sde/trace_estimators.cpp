#include "slowsde/sde/trace_estimators.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void require(bool holds, const char* inequality, double value) {
  detail::require(holds, "trace estimator", inequality, value);
}

/// Hutchinson's probes and those that span a sketch are independent: they differ in the worker of their
/// address.
enum Purpose : std::uint32_t { estimate = 0, sketch = 1 };

void fill_probe(const ProbeOptions& options, Purpose purpose, std::uint64_t p, Eigen::VectorXd& z) {
  const Eigen::Index d = z.size();
  if (options.probe == Probe::gaussian) {
    for (Eigen::Index i = 0; i < d; ++i)
      z[i] = normal_at(options.seed, Stream::probe, p, purpose, static_cast<std::uint64_t>(i));
    return;
  }
  for (Eigen::Index first = 0; first < d; first += 128) {  // 128 signs in a block of four words
    const auto words =
        random_words(options.seed, Stream::probe, p, purpose, static_cast<std::uint64_t>(first / 128));
    for (Eigen::Index i = first; i < std::min(d, first + 128); ++i) {
      const auto bit = static_cast<std::size_t>(i - first);
      z[i] = (words[bit / 32] >> (bit % 32)) & 1u ? 1.0 : -1.0;
    }
  }
}

/// Mean of one value per probe, and its standard error.
TraceEstimate mean_of(const Eigen::VectorXd& values, int products) {
  const double n = static_cast<double>(values.size()), mean = values.mean();
  return {mean, std::sqrt((values.array() - mean).square().sum() / (n - 1) / n), products};
}

/// m steps of Lanczos from z as a quadrature rule for z's spectral measure; an empty rule where a product is
/// not finite.
SpectralDensity::Rule lanczos_rule(const SymmetricOperator& A, const Eigen::VectorXd& z, int m,
                                   int& products) {
  const double epsilon = std::numeric_limits<double>::epsilon();
  Eigen::MatrixXd V(z.size(), m);
  Eigen::VectorXd alpha(m), beta = Eigen::VectorXd::Zero(m), w;
  V.col(0) = z.normalized();
  double scale = 0;  // of the largest entry of T
  int size = 0;
  while (size < m) {
    const int j = size++;
    A(V.col(j), w);
    ++products;
    if (!w.allFinite()) return {};
    alpha[j] = V.col(j).dot(w);
    // Twice is enough: the first pass leaves rounding errors relative to |w|, the second relative to its
    // rest.
    const auto basis = V.leftCols(size);
    for (int pass = 0; pass < 2; ++pass) w -= basis * (basis.transpose() * w);
    if (size == m) break;
    beta[j] = w.norm();
    scale = std::max({scale, std::abs(alpha[j]), beta[j]});
    if (beta[j] <= 64 * epsilon * scale) break;  // the Krylov space is invariant, the rule exact
    V.col(size) = w / beta[j];
  }
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen;
  eigen.computeFromTridiagonal(alpha.head(size), beta.head(size - 1));
  if (eigen.info() != Eigen::Success) return {};
  return {eigen.eigenvalues(), eigen.eigenvectors().row(0).cwiseAbs2().transpose()};
}

}  // namespace

Eigen::VectorXd trace_probe(const ProbeOptions& options, std::uint64_t p, int d) {
  require(d >= 1, "d >= 1", d);
  Eigen::VectorXd z(d);
  fill_probe(options, Purpose::estimate, p, z);
  return z;
}

TraceEstimate hutchinson_trace(const SymmetricOperator& A, int d, int probes, const ProbeOptions& options) {
  require(d >= 1, "d >= 1", d);
  require(probes >= 2, "probes >= 2", probes);
  Eigen::VectorXd z(d), Az, values(probes);
  for (int p = 0; p < probes; ++p) {
    fill_probe(options, Purpose::estimate, static_cast<std::uint64_t>(p), z);
    A(z, Az);
    values[p] = z.dot(Az);
  }
  return mean_of(values, probes);
}

TraceEstimate hutch_plus_plus_trace(const SymmetricOperator& A, int d, int products,
                                    const ProbeOptions& options) {
  require(d >= 1, "d >= 1", d);
  require(products >= 6, "products >= 6", products);
  const int k = std::min(products / 3, d), probes = k < d ? products - 2 * k : 0;
  Eigen::VectorXd z(d), Az;
  Eigen::MatrixXd Q(d, k);
  if (k < d) {
    Eigen::MatrixXd AS(d, k);
    for (int j = 0; j < k; ++j) {
      fill_probe(options, Purpose::sketch, static_cast<std::uint64_t>(j), z);
      A(z, Az);
      AS.col(j) = Az;
    }
    // Orthonormal columns whatever the rank of AS.
    Q = Eigen::HouseholderQR<Eigen::MatrixXd>(AS).householderQ() * Eigen::MatrixXd::Identity(d, k);
  } else {
    Q.setIdentity();
  }
  double captured = 0;
  for (int j = 0; j < k; ++j) {
    A(Q.col(j), Az);
    captured += Q.col(j).dot(Az);
  }
  if (probes == 0) return {captured, captured - captured, k};
  Eigen::VectorXd values(probes);
  for (int p = 0; p < probes; ++p) {
    fill_probe(options, Purpose::estimate, static_cast<std::uint64_t>(p), z);
    z -= Q * (Q.transpose() * z);
    A(z, Az);
    values[p] = z.dot(Az);
  }
  TraceEstimate result = mean_of(values, 2 * k + probes);
  result.value += captured;
  return result;
}

void QuadratureOptions::check() const {
  require(probes >= 2, "probes >= 2", probes);
  require(steps >= 1, "steps >= 1", steps);
}

SpectralDensity stochastic_lanczos_quadrature(const SymmetricOperator& A, int d,
                                              const QuadratureOptions& options) {
  require(d >= 1, "d >= 1", d);
  options.check();
  SpectralDensity density;
  density.dim = d;
  const ProbeOptions probe{Probe::rademacher, options.seed};
  for (int p = 0; p < options.probes && density.finite; ++p) {
    density.rules.push_back(lanczos_rule(A, trace_probe(probe, static_cast<std::uint64_t>(p), d),
                                         std::min(options.steps, d), density.products));
    density.finite = density.rules.back().nodes.size() > 0;
  }
  if (!density.finite) density.rules.clear();
  return density;
}

SpectralDensity::Rule lanczos_quadrature(const SymmetricOperator& A, const Eigen::VectorXd& z, int steps) {
  require(z.size() >= 1, "d >= 1", static_cast<double>(z.size()));
  require(steps >= 1, "steps >= 1", steps);
  int products = 0;
  return lanczos_rule(A, z, static_cast<int>(std::min<Eigen::Index>(steps, z.size())), products);
}

double SpectralDensity::Rule::mean_of(const std::function<double(double)>& f) const {
  if (nodes.size() == 0) return nan;
  double sum = 0;
  for (Eigen::Index k = 0; k < nodes.size(); ++k)
    if (weights[k] > 0) sum += weights[k] * f(nodes[k]);
  return sum;
}

TraceEstimate SpectralDensity::trace_of(const std::function<double(double)>& f) const {
  if (!finite) return {nan, nan, products};
  Eigen::VectorXd values(static_cast<Eigen::Index>(rules.size()));
  for (std::size_t p = 0; p < rules.size(); ++p)
    values[static_cast<Eigen::Index>(p)] = dim * rules[p].mean_of(f);
  return mean_of(values, products);
}

TraceEstimate SpectralDensity::moment(int k) const {
  return trace_of([k](double x) { return std::pow(x, k); });
}

TraceEstimate SpectralDensity::share_below(double x) const {
  return trace_of([x, d = dim](double node) { return node <= x ? 1.0 / d : 0.0; });
}

Eigen::VectorXd SpectralDensity::smoothed(const Eigen::VectorXd& grid, double width) const {
  require(width > 0, "width > 0", width);
  const double peak = 1 / (width * std::sqrt(2 * std::numbers::pi));
  Eigen::VectorXd density(grid.size());
  for (Eigen::Index j = 0; j < grid.size(); ++j)
    density[j] = trace_of([&](double x) {
                   const double u = (grid[j] - x) / width;
                   return peak * std::exp(-0.5 * u * u) / dim;
                 }).value;
  return density;
}

}  // namespace slowsde
