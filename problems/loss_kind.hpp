// Losses of networks.
#pragma once

namespace slowsde {

/// squared: L = (1/2m) Σ_i Σ_c (f_ic − y_ic)²; cross-entropy: L = −(1/m) Σ_i log softmax(f_i)_{label_i}.
enum class LossKind { squared, cross_entropy };

}  // namespace slowsde
