#include "slowsde/experiments/train_replica.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <type_traits>

#include "slowsde/experiments/run_journal.hpp"
#include "slowsde/optim/network_oracle.hpp"
#include "slowsde/optim/predicted_spread.hpp"
#include "slowsde/optim/worker_spread.hpp"
#include "slowsde/problems/network_model.hpp"
#include "slowsde/problems/random_address.hpp"
#include "slowsde/sde/trace_estimators.hpp"

namespace slowsde {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int evaluation_batch = 256;
constexpr double gradient_passes = 3, product_passes = 8;
constexpr int lanczos_products = 40;  // what λ_max usually takes

template <class Real>
std::unique_ptr<Trainer<Real>> make_trainer(const TrainPlan& plan, const TrainRun& run,
                                            const std::vector<double>& start, std::uint64_t seed,
                                            std::uint64_t replica, int threads) {
  const NetworkTask task = task_of(plan, run, seed);
  if (plan.backend == Backend::cuda)
    return make_device_trainer<Real>(run.trainer, start, task, replica, plan.device, plan.ranks.communicator);
  return std::make_unique<NetworkTrainer<Real>>(
      run.trainer, start, NetworkOracle<Real>::factory(task, replica), threads, plan.ranks.communicator);
}

/// Mean loss and accuracy on samples as they stand in the data.
template <class Real>
class Evaluator {
 public:
  struct Score {
    double loss = nan, accuracy = nan;
  };

  explicit Evaluator(const TrainPlan& plan)
      : plan_(plan),
        gradient_(*plan.network, plan.loss, evaluation_batch),
        buffer_(plan.network->inputs(), evaluation_batch, plan.recipe.targets ? plan.network->outputs() : 0),
        target_(plan.recipe.target) {
    target_.label_sigma = 0;
  }

  Score operator()(const Real* theta, const ClassificationData& data, int samples) {
    if (samples == 0) return {};
    double loss = 0;
    std::int64_t correct = 0;
    for (int first = 0; first < samples; first += evaluation_batch) {
      Batch<Real> batch =
          consecutive_samples(data, first, std::min(evaluation_batch, samples - first), buffer_);
      if (plan_.recipe.targets) {
        buffer_.set_targets(target_, nullptr);
        batch = buffer_.batch();
      }
      const auto part = gradient_.evaluate(theta, batch);
      loss += part.loss_sum;
      correct += part.correct;
    }
    return {loss / samples, static_cast<double>(correct) / samples};
  }

 private:
  const TrainPlan& plan_;
  NetworkGradient<Real> gradient_;
  BatchBuffer<Real> buffer_;
  TargetRecipe target_;
};

/// ∇²L on the first training samples, in double precision; L in the mean over flipped labels.
class HessianOfTraining {
 public:
  explicit HessianOfTraining(const TrainPlan& plan) {
    std::vector<int> first(static_cast<std::size_t>(plan.sharpness_samples()));
    std::iota(first.begin(), first.end(), 0);
    const ClassificationData data = subset(plan.data.train, first);
    const double flip = plan.recipe.flip.probability;
    if (plan.loss == LossKind::squared) {
      // ½(f − y)² in the mean over y differs from that of the mean of y by a constant.
      const TargetRecipe& target = plan.recipe.target;
      const double other = flip > 0 ? flip / (data.classes - 1) : 0, range = target.on - target.off;
      squares_ = std::make_unique<NetworkModel>(
          *plan.network, regression(data, target.off + range * (1 - flip), target.off + range * other));
    } else {
      entropy_ = std::make_unique<ClassificationModel>(
          *plan.network, std::vector<double>(data.x.begin(), data.x.end()), data.labels, 0, flip);
    }
  }

  SymmetricOperator at(const Eigen::VectorXd& theta) const {
    return [this, theta](const Eigen::VectorXd& u, Eigen::VectorXd& out) {
      squares_ ? squares_->hessian_vector_product(theta, u, out)
               : entropy_->hessian_vector_product(theta, u, out);
    };
  }

 private:
  std::unique_ptr<NetworkModel> squares_;
  std::unique_ptr<ClassificationModel> entropy_;
};

/// Names of a record's values; the order is that of train_observables().
enum Column : std::size_t {
  batch_loss,
  train_loss,
  train_accuracy,
  test_loss,
  test_accuracy,
  trace,
  trace_error,
  lambda_max,
  worker_divergence,
  divergence_top_share,
  predicted_divergence,
  predicted_divergence_se,
  variance_along_top,
  predicted_variance_along_top,
  predicted_variance_along_top_se,
  average_gap,
  local_steps,
  eta,
  rounds,
  bytes,
  seconds,
  columns
};

template <class Real>
class ReplicaRun {
 public:
  ReplicaRun(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed, std::uint64_t replica,
             int threads, const std::function<void(double)>& add)
      : plan_(plan),
        run_(run),
        seed_(seed),
        replica_(replica),
        add_(add),
        start_(plan.start(seed, replica)),
        trainer_(make_trainer<Real>(plan, run, start_, seed, replica, threads)),
        evaluate_(plan) {
    const auto records = run.points.size();
    out_.values.assign(records * columns, nan);
    const std::size_t room =
        plan.measures.spectrum_at.size() * static_cast<std::size_t>(spectrum_nodes(plan));
    out_.nodes.assign(room, nan);
    out_.weights.assign(room, nan);
    bound_ = 1;
    for (const double x : start_) bound_ = std::max(bound_, std::abs(x));
    bound_ *= 1e6;
  }

  TrainedReplica operator()() {
    const double training = training_work(plan_, run_), measuring = measuring_work(plan_, run_);
    const double share = measuring / static_cast<double>(run_.points.size());
    double added = 0;
    const auto progress = [&](double done) {
      add_(done - added);
      added = done;
    };
    const auto& points = run_.points;
    const double N = static_cast<double>(run_.trainer.total_steps);
    std::size_t next = 0;
    record(next++, never_apart(), nan);
    double measured = share;
    progress(measured);
    double loss = 0;
    std::int64_t since = trainer_->steps_taken();
    while (!trainer_->finished() && next < points.size()) {
      const std::int64_t end = trainer_->steps_taken() + trainer_->next_steps();
      const bool due = end >= points[next].steps;
      WorkerValues workers;
      if (due) workers = predict_divergence(next);
      const TrainedRound round =
          due ? trainer_->round([&](WorkersView<Real> view) { measure_workers(view, workers); })
              : trainer_->round();
      loss += round.batch_loss * static_cast<double>(round.plan.local_steps);
      if (!std::isfinite(round.batch_loss)) break;
      const double trained = training * static_cast<double>(end) / N;
      if (due) {
        const double mean = loss / static_cast<double>(end - since);
        for (; next < points.size() && points[next].steps <= end; ++next) {
          if (!record(next, workers, mean)) break;
          measured += share;
        }
        if (out_.diverged_from >= 0) break;
        loss = 0;
        since = end;
        progress(trained + measured);
      } else if (trained + measured - added > 0.02 * (training + measuring)) {
        progress(trained + measured);
      }
    }
    if (next < points.size() && out_.diverged_from < 0) out_.diverged_from = static_cast<std::int64_t>(next);
    if (plan_.measures.parameters)
      out_.parameters.assign(trainer_->parameters().begin(), trainer_->parameters().end());
    progress(training + measuring);
    return std::move(out_);
  }

 private:
  struct WorkerValues {
    double divergence = 0, top_share = 0, along_top = nan, mean_loss = nan;
    TraceEstimate predicted = {nan, nan}, predicted_along_top = {nan, nan};
    Eigen::VectorXd top;  // eigenvector of the Hessian, unit; empty where none is wanted or found
  };

  /// Where the workers are one: before the first round, or always.
  WorkerValues never_apart() const {
    if (plan_.measures.divergence_vectors == 0) return {};
    return {.along_top = 0, .predicted = {}, .predicted_along_top = {}, .top = {}};
  }

  /// Of the round that is next, at whose end record number `point` is.
  WorkerValues predict_divergence(std::size_t point) {
    const int vectors = plan_.measures.divergence_vectors;
    const TrainerParams& params = run_.trainer;
    if (params.workers == 1 || params.exchange == Exchange::gradients) return never_apart();
    if (vectors == 0 || !run_.divergence_predicted()) return {};
    // Batches of no step of any training: their key is their own, the same for all runs, and their steps are
    // one in each epoch, so that the vectors are independent.
    NetworkTask task = task_of(plan_, run_, seed_of(point, 0xFFFE));
    NetworkOracle<Real> oracle(task, replica_);
    std::vector<Eigen::VectorXd> noise;
    for (int j = 0; j < vectors; ++j)
      noise.push_back(gradient_noise(oracle, j * task.sampling.steps_per_epoch(), trainer_->parameters()));
    const SpreadResponse response(params, trainer_->steps_taken(), trainer_->next_steps());
    const SymmetricOperator H = hessian_at_average();
    WorkerValues values;
    values.predicted = predicted_spread(H, response, noise);
    const LargestEigenvalue top = largest(H, seed_of(point, 0xFFFD));
    if (top.converged) {
      values.predicted_along_top = predicted_variance_along(top.vector, top.value, response, noise);
      values.top = top.vector;
    } else {
      out_.lanczos_converged = false;
    }
    return values;
  }

  /// Of draws of a replica and record of their own; the same for all runs, so that differences are paired.
  std::uint64_t seed_of(std::size_t point, std::uint32_t purpose) const {
    const auto words =
        random_words(seed_, Stream::probe, replica_, purpose, static_cast<std::uint64_t>(point));
    return static_cast<std::uint64_t>(words[1]) << 32 | words[0];
  }

  SymmetricOperator hessian_at_average() {
    if (!hessian_) hessian_ = std::make_unique<HessianOfTraining>(plan_);
    const std::vector<Real>& average = trainer_->parameters();
    return hessian_->at(
        Eigen::Map<const Eigen::Matrix<Real, Eigen::Dynamic, 1>>(average.data(), plan_.network->dim())
            .template cast<double>());
  }

  LargestEigenvalue largest(const SymmetricOperator& H, std::uint64_t seed) const {
    return largest_eigenvalue(
        H, plan_.network->dim(),
        {.tolerance = plan_.measures.lambda_tolerance, .max_restarts = 100, .seed = seed});
  }

  void measure_workers(WorkersView<Real> workers, WorkerValues& values) {
    const bool apart = workers.front() != workers.back();
    if (apart) {
      const WorkerSpread spread = worker_spread(workers, plan_.network->dim());
      values.divergence = spread.trace;
      values.top_share = spread.trace > 0 ? spread.top_eigenvalue / spread.trace : 0;
      if (values.top.size() > 0) values.along_top = variance_along(workers, values.top);
    }
    if (plan_.measures.gap_samples > 0) {
      double sum = 0;
      const auto distinct = workers.first(apart ? workers.size() : 1);
      for (const Real* theta : distinct)
        sum += evaluate_(theta, plan_.data.train, plan_.measures.gap_samples).loss;
      values.mean_loss = sum / static_cast<double>(distinct.size());
    }
  }

  /// Measures the average; false where it has diverged.
  bool record(std::size_t point, const WorkerValues& workers, double mean_batch_loss) {
    const std::vector<Real>& theta = trainer_->parameters();
    if (!std::all_of(theta.begin(), theta.end(),
                     [&](Real x) { return std::abs(static_cast<double>(x)) <= bound_; })) {
      out_.diverged_from = static_cast<std::int64_t>(point);
      return false;
    }
    double* row = out_.values.data() + point * columns;
    const TrainRecordPoint& planned = run_.points[point];
    row[batch_loss] = mean_batch_loss;
    const auto on_train = evaluate_(theta.data(), plan_.data.train, plan_.data.train.count());
    const auto on_test = evaluate_(theta.data(), plan_.data.test, plan_.data.test.count());
    row[train_loss] = on_train.loss;
    row[train_accuracy] = on_train.accuracy;
    row[test_loss] = on_test.loss;
    row[test_accuracy] = on_test.accuracy;
    row[worker_divergence] = workers.divergence;
    row[divergence_top_share] = workers.top_share;
    row[predicted_divergence] = workers.predicted.value;
    row[predicted_divergence_se] = workers.predicted.standard_error;
    row[variance_along_top] = workers.along_top;
    row[predicted_variance_along_top] = workers.predicted_along_top.value;
    row[predicted_variance_along_top_se] = workers.predicted_along_top.standard_error;
    if (plan_.measures.gap_samples > 0)
      row[average_gap] = point == 0
                             ? 0
                             : evaluate_(theta.data(), plan_.data.train, plan_.measures.gap_samples).loss -
                                   workers.mean_loss;
    row[local_steps] = planned.H;
    row[eta] = planned.eta;
    row[rounds] = static_cast<double>(planned.rounds);
    row[bytes] = planned.bytes;
    row[seconds] = planned.seconds;
    measure_hessian(static_cast<int>(point), row);
    return true;
  }

  void measure_hessian(int point, double* row) {
    const TrainMeasures& measures = plan_.measures;
    const int spectrum = measures.spectrum_due(point);
    if (!measures.sharpness_at(point) && spectrum < 0) return;
    const int d = plan_.network->dim();
    const SymmetricOperator H = hessian_at_average();
    const std::uint64_t seed = seed_of(static_cast<std::size_t>(point), 0xFFFF);
    if (measures.sharpness_at(point)) {
      const TraceEstimate estimate = hutch_plus_plus_trace(H, d, measures.trace_products, {.seed = seed});
      row[trace] = estimate.value;
      row[trace_error] = estimate.standard_error;
      const LargestEigenvalue top = largest(H, seed);
      row[lambda_max] = top.value;
      out_.lanczos_converged = out_.lanczos_converged && top.converged;
    }
    if (spectrum >= 0) {
      const SpectralDensity density = stochastic_lanczos_quadrature(
          H, d, {.probes = measures.spectrum_probes, .steps = measures.spectrum_steps, .seed = seed});
      std::size_t at = static_cast<std::size_t>(spectrum) * static_cast<std::size_t>(spectrum_nodes(plan_));
      for (const SpectralDensity::Rule& rule : density.rules)
        for (Eigen::Index j = 0; j < rule.nodes.size(); ++j, ++at) {
          out_.nodes[at] = rule.nodes[j];
          out_.weights[at] = rule.weights[j] * d / measures.spectrum_probes;
        }
    }
  }

  const TrainPlan& plan_;
  const TrainRun& run_;
  std::uint64_t seed_, replica_;
  const std::function<void(double)>& add_;
  std::vector<double> start_;
  std::unique_ptr<Trainer<Real>> trainer_;
  Evaluator<Real> evaluate_;
  std::unique_ptr<HessianOfTraining> hessian_;
  TrainedReplica out_;
  double bound_ = 0;
};

double hessian_products(const TrainPlan& plan, const TrainRun& run) {
  const TrainMeasures& measures = plan.measures;
  double products = 0;
  for (int r = 0; r < measures.records; ++r)
    products += (measures.sharpness_at(r) ? measures.trace_products + lanczos_products : 0) +
                (measures.spectrum_due(r) >= 0 ? measures.spectrum_probes * measures.spectrum_steps : 0);
  if (run.divergence_predicted())
    for (std::size_t r = 1; r < run.points.size(); ++r)
      products +=
          lanczos_products +
          measures.divergence_vectors *
              std::min(plan.network->dim(), SpreadResponse::lanczos_steps(
                                                run.trainer, static_cast<std::int64_t>(run.points[r].H)));
  return products;
}

/// Gradients of a local batch.
double noise_gradients(const TrainPlan& plan, const TrainRun& run) {
  return run.divergence_predicted() ? 2.0 * plan.measures.divergence_vectors * (plan.measures.records - 1)
                                    : 0;
}

double seconds_of(const std::function<void()>& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

template <class Real>
double seconds_on(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed) {
  const std::vector<double> start = plan.start(seed, 0);
  const std::vector<Real> theta(start.begin(), start.end());
  std::vector<Real> g(theta.size());
  NetworkOracle<Real> oracle(task_of(plan, run, seed), 0);
  Evaluator<Real> evaluate(plan);
  double steps = 0, spent = 0;
  for (std::int64_t k = 0; spent < 0.01 && k < 1000; ++k, ++steps)
    spent += seconds_of([&] { oracle.gradient(0, k, theta.data(), g.data()); });
  double all =
      spent / steps *
      (static_cast<double>(run.trainer.total_steps) * run.trainer.workers + noise_gradients(plan, run));

  const TrainMeasures& measures = plan.measures;
  const double R = measures.records;
  const int n = plan.data.train.count(), few = std::min(n, evaluation_batch);
  const double per_sample = seconds_of([&] { evaluate(theta.data(), plan.data.train, few); }) / few;
  all += R * per_sample * (n + plan.data.test.count() + (run.trainer.workers + 1.0) * measures.gap_samples);
  const double products = hessian_products(plan, run);
  if (products > 0) {
    const HessianOfTraining hessian(plan);
    const Eigen::VectorXd at = Eigen::Map<const Eigen::VectorXd>(start.data(), plan.network->dim());
    const SymmetricOperator H = hessian.at(at);
    Eigen::VectorXd out;
    H(at, out);  // the passes at θ, which are kept
    all += products * seconds_of([&] { H(at, out); });
  }
  return all;
}

}  // namespace

int spectrum_nodes(const TrainPlan& plan) {
  return plan.measures.spectrum_probes * std::min(plan.measures.spectrum_steps, plan.network->dim());
}

double training_work(const TrainPlan&, const TrainRun& run) {
  return gradient_passes * static_cast<double>(run.trainer.total_steps) * run.trainer.workers *
         run.local_batch();
}

double measuring_work(const TrainPlan& plan, const TrainRun& run) {
  const TrainMeasures& measures = plan.measures;
  const double products = hessian_products(plan, run);
  const double samples =
      plan.data.train.count() + plan.data.test.count() + (run.trainer.workers + 1.0) * measures.gap_samples;
  return samples * measures.records + product_passes * products * plan.sharpness_samples() +
         gradient_passes * noise_gradients(plan, run) * run.local_batch();
}

std::string TrainedReplica::bytes() const {
  std::string out;
  put(out, values);
  put(out, nodes);
  put(out, weights);
  put(out, parameters);
  put(out, std::vector<std::int64_t>{diverged_from, lanczos_converged});
  return out;
}

TrainedReplica TrainedReplica::of(std::string_view bytes) {
  TrainedReplica replica;
  std::vector<std::int64_t> rest;
  take(bytes, replica.values);
  take(bytes, replica.nodes);
  take(bytes, replica.weights);
  take(bytes, replica.parameters);
  take(bytes, rest);
  replica.diverged_from = rest.at(0);
  replica.lanczos_converged = rest.at(1) != 0;
  return replica;
}

TrainedReplica train_replica(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed,
                             std::uint64_t replica, int threads, const std::function<void(double)>& add) {
  return plan.single_precision ? ReplicaRun<float>(plan, run, seed, replica, threads, add)()
                               : ReplicaRun<double>(plan, run, seed, replica, threads, add)();
}

double replica_seconds(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed) {
  return plan.single_precision ? seconds_on<float>(plan, run, seed) : seconds_on<double>(plan, run, seed);
}

}  // namespace slowsde
