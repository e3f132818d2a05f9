#include "slowsde/problems/label_flip.hpp"

#include "slowsde/problems/requirement.hpp"

namespace slowsde {

void LabelFlip::check(int classes) const {
  detail::require(probability >= 0 && probability <= 1, "label flips", "0 <= p <= 1", probability);
  if (probability > 0) detail::require(classes >= 2, "label flips", "classes >= 2", classes);
}

}  // namespace slowsde
