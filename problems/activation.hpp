// Activations of networks.
#pragma once

namespace slowsde {

/// tanh z; SiLU: z/(1 + e^{−z}); ReLU: max(z, 0), whose derivatives beyond the first count as zero.
enum class Activation { tanh, silu, relu };

}  // namespace slowsde
