#include "slowsde/problems/mlp.hpp"

#include <array>
#include <sstream>
#include <stdexcept>

#include "slowsde/problems/random_address.hpp"

namespace slowsde {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;
using WeightMap = Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

void require_fit(const MlpShape& shape, const Dataset& data) {
  shape.check();
  data.check();
  std::ostringstream message;
  if (shape.inputs() != data.inputs) {
    message << "network: widths.front() = " << shape.inputs() << " differs from the data's " << data.inputs
            << " inputs";
    throw std::invalid_argument(message.str());
  }
  if (shape.outputs() != data.outputs) {
    message << "network: widths.back() = " << shape.outputs() << " differs from the data's " << data.outputs
            << " outputs";
    throw std::invalid_argument(message.str());
  }
}

WeightMap weights(const MlpShape& shape, const double* theta, int layer) {
  return {theta + shape.weight_offset(layer), shape.widths[layer + 1], shape.widths[layer]};
}

Eigen::Map<const VectorXd> biases(const MlpShape& shape, const double* theta, int layer) {
  return {theta + shape.bias_offset(layer), shape.widths[layer + 1]};
}

// Coefficients 0..N of a matrix-valued Taylor series; an empty matrix is a zero coefficient.
template <int N>
using Series = std::array<MatrixXd, N + 1>;

template <class Derived>
void accumulate(MatrixXd& sum, const Eigen::MatrixBase<Derived>& term) {
  if (sum.size() == 0) {
    sum = term;
  } else {
    sum.noalias() += term;
  }
}

// (p∘q)_k = Σ_j p_j∘q_{k−j}, restricted to j >= first
template <int N>
void add_convolution(MatrixXd& sum, double factor, const Series<N>& p, const Series<N>& q, int k,
                     int first = 0) {
  for (int j = first; j <= k; ++j) {
    if (p[j].size() && q[k - j].size()) accumulate(sum, (factor * p[j].array() * q[k - j].array()).matrix());
  }
}

// p' = q z' : p_k = (1/k) Σ_{j>=1} j z_j∘q_{k−j}
template <int N>
void integrate_chain(Series<N>& p, const Series<N>& z, const Series<N>& q, int k) {
  for (int j = 1; j <= k; ++j) {
    if (z[j].size() && q[k - j].size()) {
      accumulate(p[k], ((static_cast<double>(j) / k) * z[j].array() * q[k - j].array()).matrix());
    }
  }
}

// a = φ(z) and slope = φ'(z) as series.
template <int N>
void activate(Activation activation, const Series<N>& z, Series<N>& a, Series<N>& slope) {
  if (activation == Activation::tanh) {
    a[0] = 1.0 - 2.0 / ((2.0 * z[0].array()).exp() + 1.0);  // absolute error 1e-16, and vectorised
    slope[0] = 1.0 - a[0].array().square();
    for (int k = 1; k <= N; ++k) {
      integrate_chain<N>(a, z, slope, k);
      add_convolution<N>(slope[k], -1, a, a, k);
    }
    return;
  }
  Series<N> p, q;  // p = 1/(1 + e^{−z}), q = p' = p(1 − p)
  for (int k = 0; k <= N; ++k) {
    if (k == 0) {
      p[0] = 1.0 / (1.0 + (-z[0].array()).exp());
    } else {
      integrate_chain<N>(p, z, q, k);
    }
    q[k] = p[k];
    add_convolution<N>(q[k], -1, p, p, k);
    add_convolution<N>(a[k], 1, z, p, k);
    slope[k] = p[k] + a[k];  // φ' = p + φ(1 − p)
    add_convolution<N>(slope[k], -1, a, p, k);
  }
}

// The direction in which the parameters move: θ + tu, the same u for every column.
struct SharedDirection {
  const MlpShape& shape;
  const VectorXd& u;

  void add_product(int layer, const MatrixXd& a, MatrixXd& z) const {
    accumulate(z, weights(shape, u.data(), layer) * a);
  }
  void add_bias(int layer, MatrixXd& z) const { z.colwise() += biases(shape, u.data(), layer); }
  void add_transposed(int layer, const MatrixXd& delta, MatrixXd& below) const {
    accumulate(below, weights(shape, u.data(), layer).transpose() * delta);
  }
};

// A direction per column: column a moves along W.col(a).
struct ColumnDirections {
  const MlpShape& shape;
  const MatrixXd& W;

  void add_product(int layer, const MatrixXd& a, MatrixXd& z) const {
    for (int k = 0; k < a.cols(); ++k) {
      z.col(k).noalias() += weights(shape, W.col(k).data(), layer) * a.col(k);
    }
  }
  void add_bias(int layer, MatrixXd& z) const {
    z += W.middleRows(shape.bias_offset(layer), shape.widths[layer + 1]);
  }
  void add_transposed(int layer, const MatrixXd& delta, MatrixXd& below) const {
    for (int k = 0; k < delta.cols(); ++k) {
      below.col(k).noalias() += weights(shape, W.col(k).data(), layer).transpose() * delta.col(k);
    }
  }
};

// What a forward pass leaves behind, per layer, and the adjoints δ_l of z_l that a reverse pass adds.
template <int N>
struct Tape {
  std::vector<Series<N>> a, slope, delta;

  explicit Tape(int layers) : a(layers + 1), slope(layers + 1), delta(layers + 1) {}
  Series<N>& output() { return a.back(); }
  Series<N>& output_adjoint() { return delta.back(); }
};

// Coefficients 0..N in t of all layers at θ + t·direction; x: (inputs × columns).
template <int N, class Direction>
Tape<N> forward(const MlpShape& shape, const VectorXd& theta, const MatrixXd& x, const Direction& direction) {
  Tape<N> tape(shape.layers());
  tape.a[0][0] = x;
  for (int l = 0; l < shape.layers(); ++l) {
    const auto w = weights(shape, theta.data(), l);
    Series<N> z;
    for (int k = 0; k <= N; ++k) {
      const MatrixXd& a = tape.a[l][k];
      if (a.size()) {
        z[k].noalias() = w * a;
      } else {
        z[k].setZero(shape.widths[l + 1], x.cols());
      }
      if (k > 0 && tape.a[l][k - 1].size()) direction.add_product(l, tape.a[l][k - 1], z[k]);
    }
    z[0].colwise() += biases(shape, theta.data(), l);
    if constexpr (N > 0) direction.add_bias(l, z[1]);
    if (l + 1 == shape.layers()) {
      tape.a[l + 1] = std::move(z);
    } else {
      activate<N>(shape.activation, z, tape.a[l + 1], tape.slope[l + 1]);
    }
  }
  return tape;
}

// From output_adjoint() down: δ_l = (W_lᵀ δ_{l+1}) ∘ φ'(z_l), as series.
template <int N, class Direction>
void reverse(const MlpShape& shape, const VectorXd& theta, const Direction& direction, Tape<N>& tape) {
  for (int l = shape.layers() - 1; l > 0; --l) {
    const auto w = weights(shape, theta.data(), l);
    const Series<N>& delta = tape.delta[l + 1];
    Series<N> below;
    for (int k = 0; k <= N; ++k) {
      if (delta[k].size()) below[k].noalias() = w.transpose() * delta[k];
      if (k > 0 && delta[k - 1].size()) {
        if (!below[k].size()) below[k].setZero(shape.widths[l], delta[k - 1].cols());
        direction.add_transposed(l, delta[k - 1], below[k]);
      }
    }
    for (int k = 0; k <= N; ++k) add_convolution<N>(tape.delta[l][k], 1, below, tape.slope[l], k);
  }
}

// Coefficient k of Σ_columns ∇_θ: ∇W_l = Σ_j δ_j a_{k−j}ᵀ, ∇b_l = Σ_columns δ_k
template <int N>
void collect(const MlpShape& shape, const Tape<N>& tape, int k, VectorXd& out) {
  out.resize(shape.dim());
  for (int l = 0; l < shape.layers(); ++l) {
    const int rows = shape.widths[l + 1];
    Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> gw(
        out.data() + shape.weight_offset(l), rows, shape.widths[l]);
    gw.setZero();
    for (int j = 0; j <= k; ++j) {
      const MatrixXd &delta = tape.delta[l + 1][j], &a = tape.a[l][k - j];
      if (delta.size() && a.size()) gw.noalias() += delta * a.transpose();
    }
    out.segment(shape.bias_offset(l), rows) = tape.delta[l + 1][k].rowwise().sum();
  }
}

struct NoDirection {
  void add_product(int, const MatrixXd&, MatrixXd&) const {}
  void add_bias(int, MatrixXd&) const {}
  void add_transposed(int, const MatrixXd&, MatrixXd&) const {}
};

// Coefficient N of ∇L(θ + tu), with ∇L's residual as the seed.
template <int N, class Direction>
void gradient_coefficient(const MlpShape& shape, const VectorXd& theta, const MatrixXd& x, const MatrixXd& y,
                          const Direction& direction, double factor, VectorXd& out) {
  Tape<N> tape = forward<N>(shape, theta, x, direction);
  tape.output_adjoint() = tape.output();
  tape.output_adjoint()[0] -= y;
  reverse<N>(shape, theta, direction, tape);
  collect<N>(shape, tape, N, out);
  out *= factor / static_cast<double>(x.cols());
}

}  // namespace

int MlpShape::weight_offset(int layer) const {
  int offset = 0;
  for (int l = 0; l < layer; ++l) offset += (widths[l] + 1) * widths[l + 1];
  return offset;
}

void MlpShape::check() const {
  if (widths.size() < 2) {
    throw std::invalid_argument("network: widths.size() >= 2 is violated by " +
                                std::to_string(widths.size()));
  }
  for (const int width : widths) {
    if (width < 1) throw std::invalid_argument("network: width >= 1 is violated by " + std::to_string(width));
  }
}

VectorXd initial_parameters(const MlpShape& shape, std::uint64_t seed, double gain) {
  shape.check();
  VectorXd theta = VectorXd::Zero(shape.dim());
  for (int l = 0; l < shape.layers(); ++l) {
    const int count = shape.widths[l] * shape.widths[l + 1];
    const double scale = gain / std::sqrt(static_cast<double>(shape.widths[l]));
    for (int j = 0; j < count; ++j) {
      theta[shape.weight_offset(l) + j] = scale * normal_at(seed, Stream::initial, 0, 1 + l, j);
    }
  }
  return theta;
}

MlpFit::MlpFit(MlpShape shape, Dataset data) : shape_(std::move(shape)), data_(std::move(data)) {
  require_fit(shape_, data_);
  for (int l = 0; l <= shape_.layers(); ++l) {
    offsets_.push_back(shape_.weight_offset(l));
    starts_.push_back(activations_size_);
    activations_size_ += shape_.widths[l];
    widest_ = std::max(widest_, shape_.widths[l]);
  }
}

MlpModel::MlpModel(MlpShape shape, const Dataset& data) : shape_(std::move(shape)) {
  require_fit(shape_, data);
  x_ = Eigen::Map<const MatrixXd>(data.x.data(), data.inputs, data.n);
  y_ = Eigen::Map<const MatrixXd>(data.y.data(), data.outputs, data.n);
  const int classes = data.outputs;
  x_repeated_.resize(data.inputs, data.n * classes);
  for (int a = 0; a < x_repeated_.cols(); ++a) x_repeated_.col(a) = x_.col(a / classes);
  unit_ = MatrixXd::Identity(classes, classes).replicate(1, data.n);
}

void MlpModel::residual(const VectorXd& theta, VectorXd& r) const {
  const MatrixXd f = forward<0>(shape_, theta, x_, NoDirection{}).output()[0] - y_;
  r = f.reshaped();
}

void MlpModel::jacobian(const VectorXd& theta, MatrixXd& J) const {
  Tape<0> tape = forward<0>(shape_, theta, x_repeated_, NoDirection{});
  tape.output_adjoint()[0] = unit_;
  reverse<0>(shape_, theta, NoDirection{}, tape);
  J.resize(residuals(), dim());
  for (int l = 0; l < shape_.layers(); ++l) {
    const MatrixXd delta = tape.delta[l + 1][0].transpose(), a = tape.a[l][0].transpose();  // (nC × width)
    const int in = shape_.widths[l];
    for (int o = 0; o < delta.cols(); ++o) {
      for (int j = 0; j < in; ++j) {
        J.col(shape_.weight_offset(l) + o * in + j) = delta.col(o).cwiseProduct(a.col(j));
      }
    }
    J.middleCols(shape_.bias_offset(l), delta.cols()) = delta;
  }
}

void MlpModel::gram(const VectorXd& theta, MatrixXd& G) const {
  Tape<0> tape = forward<0>(shape_, theta, x_repeated_, NoDirection{});
  tape.output_adjoint()[0] = unit_;
  reverse<0>(shape_, theta, NoDirection{}, tape);
  // nG_ab = Σ_l <δ_l(a), δ_l(b)> (<a_l(a), a_l(b)> + 1): the outer products' inner products, and the biases'.
  G.setZero(residuals(), residuals());
  MatrixXd deltas(residuals(), residuals()), inputs(samples(), samples());
  for (int l = 0; l < shape_.layers(); ++l) {
    const MatrixXd& delta = tape.delta[l + 1][0];
    deltas.noalias() = delta.transpose() * delta;
    const MatrixXd a = tape.a[l][0](Eigen::all, Eigen::seqN(0, samples(), outputs()));
    inputs.noalias() = a.transpose() * a;
    const int classes = outputs();
    for (int k = 0; k < samples(); ++k) {
      for (int i = 0; i < samples(); ++i) {
        G.block(i * classes, k * classes, classes, classes) +=
            (inputs(i, k) + 1) * deltas.block(i * classes, k * classes, classes, classes);
      }
    }
  }
  G /= samples();
}

void MlpModel::pull_back(const VectorXd& theta, const VectorXd& y, VectorXd& out) const {
  Tape<0> tape = forward<0>(shape_, theta, x_, NoDirection{});
  tape.output_adjoint()[0] = y.reshaped(outputs(), samples());
  reverse<0>(shape_, theta, NoDirection{}, tape);
  collect<0>(shape_, tape, 0, out);
}

void MlpModel::push_forward(const VectorXd& theta, const VectorXd& v, VectorXd& out) const {
  Tape<1> tape = forward<1>(shape_, theta, x_, SharedDirection{shape_, v});
  out = tape.output()[1].reshaped();
}

void MlpModel::gradient(const VectorXd& theta, VectorXd& g) const {
  gradient_coefficient<0>(shape_, theta, x_, y_, NoDirection{}, 1, g);
}

void MlpModel::hessian_vector_product(const VectorXd& theta, const VectorXd& u, VectorXd& out) const {
  gradient_coefficient<1>(shape_, theta, x_, y_, SharedDirection{shape_, u}, 1, out);
}

// ∇L(θ + tu) = … + ½t² ∇³L[u uᵀ]
void MlpModel::third_contraction(const VectorXd& theta, const VectorXd& u, VectorXd& out) const {
  gradient_coefficient<2>(shape_, theta, x_, y_, SharedDirection{shape_, u}, 2, out);
}

// ∇f_a(θ + t w_a) for all a at once; its first coefficient, summed over a.
void MlpModel::curvature_contraction(const VectorXd& theta, const MatrixXd& W, VectorXd& out) const {
  const ColumnDirections direction{shape_, W};
  Tape<1> tape = forward<1>(shape_, theta, x_repeated_, direction);
  tape.output_adjoint()[0] = unit_;
  tape.output_adjoint()[1].setZero(unit_.rows(), unit_.cols());
  reverse<1>(shape_, theta, direction, tape);
  collect<1>(shape_, tape, 1, out);
}

}  // namespace slowsde
