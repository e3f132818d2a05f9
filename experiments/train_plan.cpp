#include "slowsde/experiments/train_plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "slowsde/experiments/algorithm_config.hpp"
#include "slowsde/experiments/data_config.hpp"
#include "slowsde/optim/rule_description.hpp"

namespace slowsde {
namespace {

/// [network] for data of a shape and a number of classes.
void read_network(ConfigTable table, TrainPlan& plan) {
  const ClassificationData& data = plan.data.train;
  const std::string kind = table.one_of("kind", {"mlp", "cnn"}, "mlp");
  const std::string name = table.one_of("activation", {"tanh", "silu", "relu"}, "silu");
  const Activation activation = name == "tanh"   ? Activation::tanh
                                : name == "silu" ? Activation::silu
                                                 : Activation::relu;
  plan.loss = table.one_of("loss", {"cross-entropy", "squared"}, "cross-entropy") == "squared"
                  ? LossKind::squared
                  : LossKind::cross_entropy;
  plan.network = table.checked([&] {
    if (kind == "mlp") {
      std::vector<int> widths = {data.shape.size()};
      for (const int width : table.list<int>("hidden", {32})) widths.push_back(width);
      widths.push_back(data.classes);
      return std::make_unique<Network>(mlp_network(widths, activation));
    }
    const auto channels = table.list<int>("channels", {8, 16});
    const int groups = table.at_least<int>("groups", 0, 2), pool = table.at_least<int>("pool", 1, 2);
    return std::make_unique<Network>(
        cnn_network(data.shape, channels, data.classes, activation, groups, pool));
  });
  const auto layers = static_cast<std::size_t>(plan.network->weighted_layers());
  plan.gain = table.list<double>("init_gain", std::vector<double>(layers, 1.0));
  table.check("init_gain", plan.gain.size() == layers,
              "must have one entry per dense or convolutional layer");
}

struct TrainLength {
  std::int64_t steps = 0;  ///< 0: by epochs
  double epochs = 0;
};

TrainLength read_train(ConfigTable table, TrainPlan& plan) {
  TrainLength length;
  if (table.has("steps") == table.has("epochs"))
    throw table.error("needs a length, either `steps` or `epochs`");
  if (table.has("steps")) length.steps = table.at_least<std::int64_t>("steps", 1);
  if (table.has("epochs")) length.epochs = table.positive<double>("epochs");
  plan.replicas = table.at_least<int>("replicas", 1, 4);
  plan.device.path = device_path(table.one_of("gpu_path", {"auto", "fused", "layered"}, "auto"));
  plan.device.bf16 = table.one_of("gpu_payload", {"f32", "bf16"}, "f32") == "bf16";
  plan.recipe = read_batch_recipe(table, plan.data.train, plan.loss == LossKind::squared);
  return length;
}

TrainMeasures read_measures(ConfigTable table, const TrainPlan& plan) {
  TrainMeasures measures;
  const int n = plan.data.train.count();
  measures.records = table.at_least<int>("records", 2, measures.records);
  measures.gap_samples = table.at_least<int>("gap_samples", 0, std::min(n, measures.gap_samples));
  table.check("gap_samples", measures.gap_samples <= n, "must be <= the number of training samples");
  measures.sharpness_every = table.at_least<int>("sharpness_every", 0, measures.sharpness_every);
  if (table.has("spectrum_at")) measures.spectrum_at = table.list<double>("spectrum_at");
  for (const double u : measures.spectrum_at)
    table.check("spectrum_at", u >= 0 && u <= 1, "must hold fractions in [0, 1]");
  measures.divergence_vectors = table.at_least<int>("divergence_vectors", 0, measures.divergence_vectors);
  table.check("divergence_vectors", measures.divergence_vectors != 1, "must be 0 or >= 2");
  if (measures.sharpness_every > 0 || !measures.spectrum_at.empty() || measures.divergence_vectors > 0) {
    measures.sharpness_samples = table.at_least<int>("sharpness_samples", 0, 0);
    table.check("sharpness_samples", measures.sharpness_samples <= n,
                "must be <= the number of training samples");
  }
  if (measures.sharpness_every > 0) {
    measures.trace_products = table.at_least<int>("trace_products", 6, measures.trace_products);
    measures.lambda_tolerance = table.positive<double>("lambda_tolerance", measures.lambda_tolerance);
  }
  if (!measures.spectrum_at.empty()) {
    measures.spectrum_probes = table.at_least<int>("spectrum_probes", 2, measures.spectrum_probes);
    measures.spectrum_steps = table.at_least<int>("spectrum_steps", 2, measures.spectrum_steps);
  }
  measures.parameters = table.get<bool>("parameters", false);
  return measures;
}

TrainCost read_cost(ConfigTable& config) {
  TrainCost cost;
  if (!config.has("cost")) return cost;
  ConfigTable table = config.table("cost");
  cost.bits_per_second = 1e9 * table.positive<double>("gbps");
  cost.model.step_seconds = table.positive<double>("step_seconds");
  cost.model.latency = table.at_least<double>("latency", 0, 0.0);
  cost.model.efficiency = table.positive<double>("efficiency", 1);
  cost.model.topology = topology(table.one_of("topology", {"ring", "tree"}, "ring"));
  return cost;
}

/// The rounds at whose ends a run is measured, from the plan of rounds alone.
std::vector<TrainRecordPoint> record_points(const TrainerParams& trainer, const TrainPlan& plan) {
  const std::int64_t N = trainer.total_steps, records = plan.measures.records;
  const auto d = static_cast<std::size_t>(plan.network->dim());
  const std::size_t size = plan.single_precision ? sizeof(float) : sizeof(double);
  CostModel cost = plan.cost.model;
  cost.workers = trainer.workers;
  cost.bytes = trainer.bytes_averaged(d, size);
  const auto seconds = [&](std::int64_t steps, std::int64_t rounds) {
    return plan.cost.bits_per_second > 0
               ? cost.seconds({.steps = steps, .rounds = rounds}, plan.cost.bits_per_second)
               : std::numeric_limits<double>::quiet_NaN();
  };
  std::vector<TrainRecordPoint> points;
  const double first = trainer.lr(0);
  points.push_back({.eta = first,
                    .H = static_cast<double>(trainer.rule->local_steps(0, first, N)),
                    .seconds = seconds(0, 0)});
  for_each_round(trainer.lr, *trainer.rule, N, [&](const PlannedRound& round) {
    const std::int64_t steps = round.first_step + round.local_steps, done = round.index + 1;
    for (std::int64_t j; (j = static_cast<std::int64_t>(points.size())) < records &&
                         steps >= (j * N + records - 2) / (records - 1);)  // ⌈jN/(records−1)⌉
      points.push_back({.steps = steps,
                        .t = round.end,
                        .rounds = done,
                        .bytes = trainer.bytes_per_round(d, size) * static_cast<double>(done),
                        .eta = round.eta,
                        .H = static_cast<double>(round.local_steps),
                        .seconds = seconds(steps, done)});
  });
  return points;
}

TrainRun read_run(ConfigTable table, const TrainPlan& plan, const Registry& registry,
                  const TrainLength& length, Sampling sampling) {
  TrainRun run;
  TrainerParams& trainer = run.trainer;
  run.name = table.require<std::string>("name");
  trainer.workers = table.at_least<int>("workers", 1, 1);
  run.sampling = {.sampling = sampling,
                  .samples = plan.data.train.count(),
                  .workers = trainer.workers,
                  .local_batch = table.at_least<int>("local_batch", 1, 1)};
  table.checked([&] { run.sampling.check(); });
  trainer.total_steps =
      length.steps > 0
          ? length.steps
          : std::max<std::int64_t>(
                1, std::llround(length.epochs * static_cast<double>(run.sampling.steps_per_epoch())));

  LearningRateParams rate = read_learning_rate(table);
  const bool shaped = rate.shape != LearningRateShape::constant && rate.shape != LearningRateShape::step;
  if (shaped && rate.total_steps == 0) rate.total_steps = trainer.total_steps;
  trainer.lr = table.checked([&] { return LearningRate(rate); });
  trainer.rule = read_rule(table, registry.rules, rate.warmup_steps);

  trainer.exchange = table.one_of("exchange", {"parameters", "gradients"}, "parameters") == "gradients"
                         ? Exchange::gradients
                         : Exchange::parameters;
  ConfigTable update = table.table("update");
  std::vector<std::string> names;
  for (const auto& entry : update_rule_catalogue()) names.push_back(entry.first);
  const std::string name = update.one_of("name", names, "sgd");
  trainer.update = update.checked([&] {
    return make_update_rule(
        name, [&](std::string_view key, double fallback) { return update.get<double>(key, fallback); });
  });
  if (trainer.update->state_vectors() > 0 && trainer.exchange == Exchange::parameters) {
    const std::string state = update.one_of("state", {"kept", "averaged", "reset"}, "kept");
    trainer.buffers = state == "kept"       ? BufferPolicy::kept
                      : state == "averaged" ? BufferPolicy::averaged
                                            : BufferPolicy::reset;
  }
  table.checked([&] { trainer.check(); });
  run.points = record_points(trainer, plan);
  return run;
}

}  // namespace

int TrainMeasures::spectrum_due(int record) const {
  for (std::size_t j = spectrum_at.size(); j-- > 0;)
    if (static_cast<int>(std::ceil(spectrum_at[j] * (records - 1) - 1e-9)) == record)
      return static_cast<int>(j);
  return -1;
}

std::vector<double> TrainPlan::start(std::uint64_t seed, std::uint64_t replica) const {
  const auto words = random_words(seed, Stream::initial, replica, 0, 0);
  const Eigen::VectorXd theta =
      network->initial_parameters(static_cast<std::uint64_t>(words[1]) << 32 | words[0], gain);
  return {theta.begin(), theta.end()};
}

const std::vector<TrainObservable>& train_observables() {
  static const std::vector<TrainObservable> all = {
      {"batch_loss", "1", "mean loss of the training batches since the record before, each before its step"},
      {"train_loss", "1", "loss of the average on the training data as they are"},
      {"train_accuracy", "1", "accuracy of the average on the training data"},
      {"test_loss", "1", "loss of the average on the test data"},
      {"test_accuracy", "1", "accuracy of the average on the test data"},
      {"trace", "1", "tr of the Hessian of the training loss at the average, estimated by Hutch++"},
      {"trace_error", "1", "standard error of that estimate, of one replica"},
      {"lambda_max", "1", "largest eigenvalue of the Hessian of the training loss at the average"},
      {"worker_divergence", "1",
       "trace of the workers' covariance at the end of the round, before the average"},
      {"divergence_top_share", "1", "largest eigenvalue of that covariance over its trace"},
      {"predicted_divergence", "1",
       "expected trace of that covariance, from noise and Hessian at the start of the round"},
      {"predicted_divergence_se", "1", "standard error of that prediction over its noise vectors"},
      {"variance_along_top", "1",
       "variance of the workers at the end of the round along the Hessian's top eigenvector at its start"},
      {"predicted_variance_along_top", "1",
       "expected variance along that eigenvector, from noise and eigenvalue at the start of the round"},
      {"predicted_variance_along_top_se", "1", "standard error of that prediction over its noise vectors"},
      {"average_gap", "1", "training loss of the average minus mean training loss of the workers before it"},
      {"local_steps", "1", "H of the round"},
      {"eta", "1", "mean learning rate of the round"},
      {"rounds", "1", "averages taken"},
      {"bytes", "B", "sent by each worker, ring all-reduce"},
      {"seconds", "s", "wall clock by the cost model"},
  };
  return all;
}

TrainTeams train_teams(Backend backend, bool several, int threads, std::size_t trainings) {
  if (several || backend == Backend::cuda) return {.at_once = 1, .threads_each = threads};
  // They are independent; threads that are left over share a training's workers.
  const int at_once = std::max(1, static_cast<int>(std::min(static_cast<std::size_t>(threads), trainings)));
  return {.at_once = at_once, .threads_each = threads / at_once};
}

NetworkTask task_of(const TrainPlan& plan, const TrainRun& run, std::uint64_t seed) {
  return {.network = plan.network.get(),
          .loss = plan.loss,
          .data = &plan.data.train,
          .sampling = run.sampling,
          .recipe = plan.recipe,
          .seed = seed};
}

TrainPlan read_train_plan(ConfigTable& config, const RunContext& context) {
  TrainPlan plan;
  plan.backend = context.backend;
  plan.ranks = context.ranks;
  plan.device.device_sum = context.ranks.device_sum;
  plan.device.gpu = context.ranks.launch.local_rank;
  plan.single_precision = config.one_of("precision", {"f32", "f64"}, "f32") == "f32";
  ConfigTable data = config.table("data");
  plan.data = read_data(data);
  read_network(config.table("network"), plan);
  ConfigTable train = config.table("train");
  const TrainLength length = read_train(train, plan);
  const Sampling sampling = read_sampling(train);
  plan.measures = read_measures(config.table("measure"), plan);
  plan.cost = read_cost(config);
  for (ConfigTable& table : config.tables("runs")) {
    TrainRun run = read_run(table, plan, context.registry, length, sampling);
    for (const TrainRun& other : plan.runs)
      table.check("name", other.name != run.name, "is taken by an earlier run");
    if (plan.backend == Backend::cuda)
      table.checked([&] { check_device_task(run.trainer, task_of(plan, run, context.seed)); });
    plan.runs.push_back(std::move(run));
  }
  if (plan.runs.empty()) throw config.error("a training needs at least one [[runs]]");
  for (const TrainObservable& observable : train_observables()) plan.observables.push_back(observable.name);
  return plan;
}

}  // namespace slowsde
