// The library's problems under their names. Split over several files because each problem is compiled into
// simulators of every precision and noise.
#pragma once

#include "slowsde/experiments/registry.hpp"

namespace slowsde {

void add_valley_problems(Registry& registry);   ///< valley, user-valley, two-valleys-*, curved-valley
void add_surface_problems(Registry& registry);  ///< circle, sphere, ellipsoid
void add_matrix_problems(Registry& registry);   ///< diagonal-network, matrix-factorization, matrix-sensing
void add_network_problems(Registry& registry);  ///< mlp on digits and on teacher–student data

}  // namespace slowsde
