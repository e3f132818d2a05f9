// The claims of the papers and of this project that `slowsde verify` tests, one file for each test bed.
#pragma once

#include "slowsde/experiments/registry.hpp"

namespace slowsde {

void add_valley_claims(
    Registry& registry);  ///< label noise on the valley: drift ratio, finite steps, decaying lr
void add_surface_claims(Registry& registry);         ///< circle: cross terms
void add_horizon_claims(Registry& registry);         ///< valley: O(1/η) against O(1/η²) steps
void add_quasi_static_claims(Registry& registry);    ///< flat valley, sphere: rounds of a fixed slow time
void add_weak_order_claims(Registry& registry);      ///< flat valley: the error of each theory as η → 0
void add_diffusion_claims(Registry& registry);       ///< sphere, circle: the noise along the manifold
void add_flat_valley_claims(Registry& registry);     ///< drift against diffusion; rules as η decays
void add_momentum_claims(Registry& registry);        ///< heavy ball on valley and circle
void add_sampling_claims(Registry& registry);        ///< linear fit: the moment under minibatches
void add_matrix_claims(Registry& registry);          ///< matrix factorization and sensing: fall of tr ∇²L
void add_sparsity_claims(Registry& registry);        ///< diagonal network: sparse recovery
void add_network_claims(Registry& registry);         ///< MLP and CNN on digits: fall of tr ∇²L
void add_label_claims(Registry& registry);           ///< cross-entropy with flipped labels
void add_label_noise_claims(Registry& registry);     ///< a scaled vector: closed form, general form, iterates
void add_curved_valley_claims(Registry& registry);   ///< all terms of the slow SDE at once
void add_turning_valley_claims(Registry& registry);  ///< eigenvectors that turn: the pairs i ≠ j alone

}  // namespace slowsde
