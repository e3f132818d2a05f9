#include "slowsde/sde/gram_geometry.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "slowsde/problems/requirement.hpp"
#include "slowsde/sde/sharpness.hpp"

namespace slowsde {
namespace {

using Eigen::MatrixXd;

template <class T>
void require(bool holds, const char* inequality, T value) {
  detail::require(holds, "gram geometry", inequality, value);
}

}  // namespace

void GramOptions::check() const {
  require(rank_tolerance > 0, "rank_tolerance > 0", rank_tolerance);
  require(rank_tolerance < 1, "rank_tolerance < 1", rank_tolerance);
  require(feedback_tolerance > 0, "feedback_tolerance > 0", feedback_tolerance);
  require(feedback_iterations >= 1, "feedback_iterations >= 1", feedback_iterations);
}

GramGeometry::GramGeometry(const LeastSquaresModel& model, const GramOptions& options)
    : model_(model), options_(options) {
  options_.check();
}

void GramGeometry::move_to(const Eigen::VectorXd& theta) {
  theta_ = theta;
  Eigen::VectorXd r;
  Eigen::MatrixXd G;
  model_.residual(theta, r);
  residual_ = r.lpNorm<Eigen::Infinity>();
  model_.jacobian(theta, J_);
  model_.gram(theta, G);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(G);
  lambda_ = eigen.eigenvalues();
  U_ = eigen.eigenvectors();
  const double threshold = options_.rank_tolerance * lambda_max();
  rank_ = static_cast<int>((lambda_.array() > threshold).count());
}

double GramGeometry::rank_gap() const {
  const int zeros = static_cast<int>(lambda_.size()) - rank_;
  const double threshold = options_.rank_tolerance * lambda_max();
  return lambda_min() / (zeros > 0 ? std::max(lambda_[zeros - 1], 1e-16 * lambda_max()) : threshold);
}

Eigen::VectorXd GramGeometry::coordinates(const Eigen::VectorXd& v) const {
  // v_iᵀ = u_iᵀJ/√(nλ_i)
  const double n = model_.samples();
  return (U_.rightCols(rank_).transpose() * (J_ * v)).cwiseQuotient((n * lambda_.tail(rank_)).cwiseSqrt());
}

Eigen::VectorXd GramGeometry::combination(const Eigen::VectorXd& c) const {
  const double n = model_.samples();
  return J_.transpose() * (U_.rightCols(rank_) * c.cwiseQuotient((n * lambda_.tail(rank_)).cwiseSqrt()));
}

Eigen::MatrixXd GramGeometry::sampling_covariance(const Eigen::MatrixXd& A) const {
  const int C = model_.outputs();
  const auto lambda = lambda_.tail(rank_);
  const MatrixXd P = U_.rightCols(rank_) * lambda.cwiseSqrt().asDiagonal();
  const MatrixXd PA = P * A;
  MatrixXd blocks_P(P.rows(), rank_);
  for (Eigen::Index s = 0; s < P.rows(); s += C) {
    const auto rows = P.middleRows(s, C);
    const MatrixXd block = PA.middleRows(s, C) * rows.transpose();
    blocks_P.middleRows(s, C).noalias() = block * rows;
  }
  MatrixXd result = static_cast<double>(model_.samples()) * (P.transpose() * blocks_P);
  result -= lambda.asDiagonal() * A * lambda.asDiagonal();
  return result;
}

double GramGeometry::feedback_ratio(const SecondMoment& moment, const Round& round) const {
  round.check();
  const double strength = round.eta * moment.sampling_weight(round, model_.samples()) / round.global_batch();
  if (strength == 0 || rank_ == 0) return 0;
  MatrixXd root(rank_, rank_);  // √c
  try {
    for (int j = 0; j < rank_; ++j)
      for (int i = 0; i <= j; ++i)
        root(i, j) = root(j, i) =
            std::sqrt(moment.coefficient(lambda_.tail(rank_)[i], lambda_.tail(rank_)[j], round));
  } catch (const std::domain_error&) {
    return std::numeric_limits<double>::infinity();
  }
  // √c∘F(√c∘X) is symmetric and has the eigenvalues of c∘F.
  const HessianVectorProduct symmetric = [&](const Eigen::VectorXd& x, Eigen::VectorXd& out) {
    const MatrixXd X = root.cwiseProduct(Eigen::Map<const MatrixXd>(x.data(), rank_, rank_));
    const MatrixXd Y = strength * root.cwiseProduct(sampling_covariance(X));
    out = Eigen::Map<const Eigen::VectorXd>(Y.data(), Y.size());
  };
  return largest_eigenvalue(symmetric, rank_ * rank_, {.tolerance = 1e-4}).value;
}

Eigen::VectorXd GramGeometry::tangent(const Eigen::VectorXd& v) const {
  // v − Jᵀ (nG)^† J v
  const auto U = U_.rightCols(rank_);
  const auto lambda = lambda_.tail(rank_);
  const Eigen::VectorXd coordinates =
      (U.transpose() * (J_ * v)).cwiseQuotient(lambda) / static_cast<double>(model_.samples());
  return v - J_.transpose() * (U * coordinates);
}

// S in the eigenbasis of the non-zero eigenvalues: (rank × rank).
Eigen::MatrixXd GramGeometry::second_moment(const SecondMoment& moment, const Round& round, double sigma,
                                            SlowDrift& drift) {
  const double n = model_.samples(), B = round.global_batch();
  const auto lambda = lambda_.tail(rank_);
  const double feedback = round.eta * moment.sampling_weight(round, model_.samples());
  Eigen::MatrixXd S = Eigen::MatrixXd::Zero(rank_, rank_);
  if (feedback == 0) {
    for (int i = 0; i < rank_; ++i) S(i, i) = moment.coefficient(lambda[i], lambda[i], round) / (n * B);
    return sigma * sigma * S;
  }

  // All moments are proportional to σ²; the iteration runs at σ = 1.
  const auto U = U_.rightCols(rank_);
  const int C = model_.outputs();
  Eigen::MatrixXd gain(rank_, rank_),
      weight(rank_, rank_);  // S = gain∘(δ_ij + feedback·blk_ij), W = weight∘S
  for (int j = 0; j < rank_; ++j) {
    for (int i = 0; i <= j; ++i) {
      const double c = moment.coefficient(lambda[i], lambda[j], round);
      gain(i, j) = gain(j, i) = c / (n * B + c * n * feedback * lambda[i] * lambda[j]);
      weight(i, j) = weight(j, i) = n * n * lambda[i] * lambda[j];
    }
  }
  // With T(X) = feedback·blk(U (weight∘gain∘UᵀXU) Uᵀ), X = blk(W) solves X − T(X) = T(I)/feedback. T is
  // symmetric and positive in the Frobenius inner product: conjugate gradients. I − T is positive as long as
  // sampling noise does not outgrow the contraction of the mean.
  const auto residuals = model_.residuals();
  MatrixXd product(residuals, rank_);
  const MatrixXd multiplier = feedback * gain.cwiseProduct(weight);
  const auto conjugate = [&](const MatrixXd& X) {  // UᵀXU
    for (int s = 0; s < residuals; s += C) {
      product.middleRows(s, C).noalias() = X.middleRows(s, C) * U.middleRows(s, C);
    }
    S.noalias() = U.transpose() * product;
  };
  const auto blocks_of = [&](MatrixXd& X) {  // blk(U S Uᵀ)
    product.noalias() = U * S;
    for (int s = 0; s < residuals; s += C) {
      X.middleRows(s, C).noalias() = product.middleRows(s, C) * U.middleRows(s, C).transpose();
    }
  };
  MatrixXd rest(residuals, C), image(residuals, C);
  S = (multiplier.diagonal() / feedback).asDiagonal();
  blocks_of(rest);
  const double source = rest.norm();
  if (blocks_.rows() == residuals) {  // rest = source − (X − T(X)) at the last solution
    conjugate(blocks_);
    S.array() *= multiplier.array();
    blocks_of(image);
    rest += image - blocks_;
  } else {
    blocks_.setZero(residuals, C);
  }
  drift.converged = false;
  MatrixXd search = rest;
  double square = rest.squaredNorm();
  drift.last_residual = std::sqrt(square) / source;
  while (drift.last_residual > options_.feedback_tolerance &&
         drift.iterations < options_.feedback_iterations) {
    ++drift.iterations;
    conjugate(search);
    S.array() *= multiplier.array();
    blocks_of(image);
    image = search - image;
    const double curvature = search.cwiseProduct(image).sum();
    if (!(curvature > 0)) break;
    const double step = square / curvature;
    blocks_ += step * search;
    rest -= step * image;
    const double next = rest.squaredNorm();
    search = rest + (next / square) * search;
    square = next;
    drift.last_residual = std::sqrt(square) / source;
  }
  drift.converged = drift.last_residual <= options_.feedback_tolerance;
  conjugate(blocks_);
  S = (feedback * S).cwiseProduct(gain);
  S.diagonal() += gain.diagonal();
  if (!drift.converged) blocks_.resize(0, 0);
  return sigma * sigma * S;
}

SlowDrift GramGeometry::slow_drift(const SecondMoment& moment, const Round& round, double sigma) {
  round.check();
  require(sigma >= 0, "sigma >= 0", sigma);
  SlowDrift drift;
  Eigen::MatrixXd S;
  try {
    S = second_moment(moment, round, sigma, drift);
  } catch (const std::domain_error&) {  // a model's own word for a λ beyond its stability
    drift.converged = false;
  }
  if (!drift.converged) {
    drift.value.setZero(theta_.size());
    return drift;
  }
  drift.value = drift_of_residuals(S);
  return drift;
}

Eigen::VectorXd GramGeometry::drift_of(const Eigen::MatrixXd& A) const {
  // The eigenvectors of 𝓗 are the columns of Jᵀ U (nΛ)^{-1/2}.
  const Eigen::VectorXd scale = (model_.samples() * lambda_.tail(rank_).array()).rsqrt();
  return drift_of_residuals(scale.asDiagonal() * A * scale.asDiagonal());
}

Eigen::VectorXd GramGeometry::drift_of_residuals(const Eigen::MatrixXd& S) const {
  const double n = model_.samples();
  const auto U = U_.rightCols(rank_);
  // Jᵀ S (nG) = Jᵀ (U S nΛ Uᵀ)
  const Eigen::MatrixXd middle = U * (S * (n * lambda_.tail(rank_)).asDiagonal()) * U.transpose();
  const Eigen::MatrixXd directions = J_.transpose() * middle;
  Eigen::VectorXd contraction;
  model_.curvature_contraction(theta_, directions, contraction);
  return tangent(contraction) / -n;
}

}  // namespace slowsde
