#include "slowsde/problems/gaussian_mixture.hpp"

#include <cmath>

#include "slowsde/problems/normal_row.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {
namespace {

// Addresses in Stream::initial: sample i and class c are replicas.
constexpr std::uint32_t noise_address = 0, label_address = worker_limit - 2, mean_address = worker_limit - 3;

}  // namespace

void GaussianMixture::check() const {
  using detail::require;
  require(classes >= 1, "Gaussian mixture", "classes >= 1", classes);
  require(dim >= 1, "Gaussian mixture", "dim >= 1", dim);
  require(separation >= 0 && std::isfinite(separation), "Gaussian mixture", "0 <= separation < infinity",
          separation);
}

std::vector<double> GaussianMixture::means() const {
  check();
  std::vector<double> mu(static_cast<std::size_t>(classes) * dim);
  for (int c = 0; c < classes; ++c) {
    double* row = mu.data() + static_cast<std::size_t>(c) * dim;
    normal_row(seed, Stream::initial, static_cast<std::uint64_t>(c), mean_address, 0, dim, row);
    double square = 0;
    for (int j = 0; j < dim; ++j) square += row[j] * row[j];
    for (int j = 0; j < dim; ++j) row[j] *= separation / std::sqrt(2 * square);
  }
  return mu;
}

ClassificationData GaussianMixture::samples(int n, int first) const {
  detail::require(n >= 1, "Gaussian mixture", "n >= 1", n);
  detail::require(first >= 0, "Gaussian mixture", "first >= 0", first);
  const std::vector<double> mu = means();
  ClassificationData data{.shape = {dim, 1, 1}, .classes = classes, .x = {}, .labels = {}};
  data.x.reserve(static_cast<std::size_t>(n) * dim);
  std::vector<double> noise(static_cast<std::size_t>(dim));
  for (int k = 0; k < n; ++k) {
    const std::uint64_t i = static_cast<std::uint64_t>(first) + static_cast<std::uint64_t>(k);
    const auto c =
        integer_at(seed, Stream::initial, i, label_address, 0, static_cast<std::uint32_t>(classes));
    normal_row(seed, Stream::initial, i, noise_address, 0, dim, noise.data());
    for (int j = 0; j < dim; ++j) {
      data.x.push_back(
          static_cast<float>(mu[static_cast<std::size_t>(c) * dim + j] + noise[static_cast<std::size_t>(j)]));
    }
    data.labels.push_back(static_cast<int>(c));
  }
  return data;
}

}  // namespace slowsde
