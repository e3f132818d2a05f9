// A few real images that the program carries with it, so that its claims about networks need no file.
#pragma once

#include "slowsde/problems/dataset.hpp"

namespace slowsde {

/// The first forty of the 8 × 8 digits that scripts/export_digits.py writes: Optical Recognition of
/// Handwritten Digits (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998; CC BY 4.0).
LabelledImages first_digits();

}  // namespace slowsde
