#include "slowsde/problems/label_flip.hpp"

#include "slowsde/problems/random_address.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

void LabelFlip::check(int classes) const {
  detail::require(probability >= 0 && probability <= 1, "label flips", "0 <= p <= 1", probability);
  if (probability > 0) detail::require(classes >= 2, "label flips", "classes >= 2", classes);
}

int LabelFlip::draw(int label, int classes, std::uint64_t seed, std::uint64_t replica, std::uint32_t worker,
                    std::uint64_t visit) const {
  if (!(probability > 0)) return label;
  const auto words = random_words(seed, Stream::label_flip, replica, worker, visit);
  const std::uint64_t joined = (static_cast<std::uint64_t>(words[0]) << 32) | words[1];
  const double u = static_cast<double>(joined >> 12) * 0x1p-52;  // in [0, 1): p = 1 flips always
  if (!(u < probability)) return label;
  const std::uint64_t others = static_cast<std::uint64_t>(classes) - 1;
  const int other = static_cast<int>((words[2] * others) >> 32);
  return other < label ? other : other + 1;
}

}  // namespace slowsde
