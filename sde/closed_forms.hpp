// What is known in closed form, or as an ODE in one variable, about the problems that tests compare with.
// Slow time t is Σ η² throughout (η_e² with momentum).
#pragma once

#include <functional>
#include <vector>

#include "slowsde/sde/second_moment.hpp"

namespace slowsde {

// --- valley, f = √(1+x²)·y with label noise σ, from (x0, 0)
// -----------------------------------------------------------

/// SGD: x = x0·e^{−σ²t/2B}.
double valley_sgd(double x0, double sigma, const Round& round, double t);
/// QSR: x = x0·e^{−Kσ²t/2B}.
double valley_qsr(double x0, double sigma, const Round& round, double t);
/// Local SGD: ẋ = −(σ²x/2B)(1 + (K−1)ψ(2ηH(1+x²))), integrated to 1e-12.
double valley_local_sgd(double x0, double sigma, const Round& round, double t);

/// End ξ of the gradient flow from (x, y): ln|x| + x²/2 − y²/2 is conserved, so ξ² = W(x²e^{x²−y²}) with
/// Lambert's W.
double valley_flow_end(double x, double y);

// --- any valley: Γ is a line with coordinate x, eigenvalues λ_i(x) of 𝓗, constant eigenvectors
// ---------------------------

struct Curvature {
  double value, slope;  ///< λ(x), λ'(x)
};
using CurvatureAlong = std::function<Curvature(double x)>;

/// λ = a = 1 + x².
std::vector<CurvatureAlong> valley_curvature();
/// λ_i = a_i/n, a_1 = 1.5 + sin x, a_2 = 6.5 − sin x: n = 2 for two samples of one output, 1 for one sample
/// of two.
std::vector<CurvatureAlong> two_valleys_curvature(int samples);

/// x(t) under label noise: with Σ = σ²𝓗, −½∇³L[Ā] gives ẋ = −(σ²/2B) Σ_i c(λ_i, λ_i) λ_i λ_i'(x). Integrated
/// to 1e-12. For a model without feedback of sampling.
double valley_ode(const std::vector<CurvatureAlong>& curvatures, const SecondMoment& moment, double sigma,
                  const Round& round, double x0, double t);

// --- circle and sphere
// --------------------------------------------------------------------------------------------------

/// L = ¼(x²+y²−1)², whose λ is 2, with noise of unit variances and correlation c between normal and tangent:
/// the mean angle E φ(t) = −(c·t/B)(1 + (K−1)ψ(2ηH)) from φ = 0. Cross terms alone.
double circle_mean_angle(double correlation, const Round& round, double t);

/// L = ¼(|x|²−1)² in R^d with Σ = ν²I, SGD: E ζ(t) = ζ0·e^{−(d−1)ν²t/2B}; this is the factor.
double sphere_sgd_mean(int dim, double nu, const Round& round, double t);

}  // namespace slowsde
