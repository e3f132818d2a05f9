#include "slowsde/problems/permutation.hpp"

#include <array>
#include <numeric>
#include <utility>

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

void shuffle(std::vector<int>& values, const PermutationAddress& address) {
  const std::uint64_t n = values.size();
  std::array<std::uint32_t, 4> words{};
  for (std::uint64_t j = 0; j + 1 < n; ++j) {
    const std::uint64_t index = address.first + j;
    if (j == 0 || index % 4 == 0) {
      words = random_words(address.seed, address.stream, address.replica, address.worker, index / 4);
    }
    const std::uint64_t word = words[index % 4];
    std::swap(values[j], values[j + ((word * (n - j)) >> 32)]);
  }
}

std::vector<int> permutation(int n, const PermutationAddress& address) {
  detail::require(n >= 0, "permutation", "n >= 0", n);
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, address);
  return order;
}

}  // namespace slowsde
