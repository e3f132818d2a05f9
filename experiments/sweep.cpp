#include "slowsde/experiments/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/registry.hpp"

namespace slowsde {

namespace {

struct Axis {
  std::string key, name, units;
  std::vector<ConfigValue> values;
};

struct Grid {
  std::vector<Axis> axes;
  std::vector<std::vector<std::size_t>> points;  // of each point, the index into each axis' values
  std::string experiment;
  bool seed_per_point = true;
};

Grid grid_of(ConfigTable& config, const Registry& registry) {
  Grid grid;
  ConfigTable sweep = config.table("sweep");
  grid.experiment = choose(sweep, "experiment", registry.experiments, "ensemble")->name();
  sweep.check("experiment", grid.experiment != "sweep" && grid.experiment != "suite",
              "can not be swept over");
  const bool zip = sweep.get<bool>("zip", false);
  grid.seed_per_point = sweep.one_of("seeds", {"per-point", "same"}, "per-point") == "per-point";
  for (ConfigTable& over : sweep.tables("over")) {
    Axis axis;
    axis.key = over.require<std::string>("key");
    const std::string first = axis.key.substr(0, axis.key.find('.'));
    over.check("key", first != "kind" && first != "sweep" && first != "title", "can not be swept over");
    axis.name = over.get<std::string>("name", axis.key);
    over.check("name", !axis.name.empty() && axis.name.find('/') == std::string::npos,
               "can not name a variable");
    axis.units = over.get<std::string>("units", "1");
    axis.values = over.values("values");
    over.check("values", !axis.values.empty(), "must hold at least one value");
    if (zip && !grid.axes.empty()) {
      over.check("values", axis.values.size() == grid.axes[0].values.size(),
                 fmt::format("must hold {} values as the first list does, for zip = true",
                             grid.axes[0].values.size()));
    }
    for (const Axis& other : grid.axes) {
      over.check("key", other.key != axis.key, "is there twice");
      over.check("name", other.name != axis.name, "is there twice");
    }
    if (axis.key == "seed") grid.seed_per_point = false;
    grid.axes.push_back(std::move(axis));
  }
  if (grid.axes.empty()) throw sweep.error("a sweep needs at least one [[sweep.over]]");

  std::size_t count = 1;
  for (const Axis& axis : grid.axes) count = zip ? axis.values.size() : count * axis.values.size();
  for (std::size_t p = 0; p < count; ++p) {
    std::vector<std::size_t> point(grid.axes.size(), p);
    std::size_t rest = p;
    for (std::size_t a = grid.axes.size(); !zip && a-- > 0; rest /= grid.axes[a].values.size()) {
      point[a] = rest % grid.axes[a].values.size();
    }
    grid.points.push_back(std::move(point));
  }
  return grid;
}

// The base's configuration at each point. The file itself takes the values of the first, so that a key which
// other points replace is not taken for one that nobody reads.
std::vector<ConfigTable> configs_of(ConfigTable& config, const Grid& grid, std::uint64_t seed) {
  std::vector<ConfigTable> configs;
  for (std::size_t p = 0; p < grid.points.size(); ++p) {
    ConfigTable own = config.pristine();
    own.erase("sweep");
    own.assign("kind", ConfigValue::of(grid.experiment));
    if (grid.seed_per_point) own.assign("seed", ConfigValue::of(static_cast<std::int64_t>(seed + p)));
    for (std::size_t a = 0; a < grid.axes.size(); ++a) {
      own.assign(grid.axes[a].key, grid.axes[a].values[grid.points[p][a]]);
    }
    configs.push_back(std::move(own));
  }
  for (const Axis& axis : grid.axes) config.assign(axis.key, axis.values[0]);
  return configs;
}

std::string name_of(const Grid& grid, std::size_t p) {
  std::string text;
  for (std::size_t a = 0; a < grid.axes.size(); ++a) {
    text += (text.empty() ? "" : ", ") + grid.axes[a].name + " = " +
            grid.axes[a].values[grid.points[p][a]].text();
  }
  return text;
}

std::size_t product(const std::vector<std::size_t>& shape) {
  std::size_t size = 1;
  for (const std::size_t length : shape) size *= length;
  return size;
}

std::vector<std::size_t> shape_of(const Result& result, const std::vector<std::string>& dims) {
  std::vector<std::size_t> shape;
  for (const std::string& dim : dims) shape.push_back(result.dims.at(dim));
  return shape;
}

// Row-major `from` of shape `small` into the corner of `to` of shape `large`.
template <class T>
void copy_corner(const std::vector<T>& from, const std::vector<std::size_t>& small, T* to,
                 const std::vector<std::size_t>& large) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t rest = i, target = 0, stride = 1;
    for (std::size_t d = small.size(); d-- > 0;) {
      target += rest % small[d] * stride;
      rest /= small[d];
      stride *= large[d];
    }
    to[target] = from[i];
  }
}

// All variables of one type, stacked; `member` is where a Result keeps them.
template <class V, class T>
void stack(const std::vector<Result>& points, std::vector<V> Result::*member, const T& fill, Result& out) {
  std::set<std::string> done;
  for (const Result& owner : points) {
    for (const V& model : owner.*member) {
      if (!done.insert(model.name).second) continue;
      std::vector<const V*> found;
      for (const Result& point : points) {
        const auto at = std::find_if((point.*member).begin(), (point.*member).end(),
                                     [&](const V& v) { return v.name == model.name; });
        found.push_back(at == (point.*member).end() ? nullptr : &*at);
        if (found.back() && found.back()->dims != model.dims) {
          throw std::invalid_argument(
              fmt::format("variable {} has different dimensions at different points", model.name));
        }
      }
      V stacked = model;
      const auto same = [&](const V* v) { return v && v->data == model.data; };
      const bool coordinate = model.dims == std::vector<std::string>{model.name};
      if ((std::is_same_v<V, TextVariable> || coordinate) && std::all_of(found.begin(), found.end(), same)) {
        out.add(std::move(stacked));
        continue;
      }
      const std::vector<std::size_t> shape = shape_of(out, model.dims);
      stacked.dims.insert(stacked.dims.begin(), "point");
      stacked.data.assign(points.size() * product(shape), fill);
      for (std::size_t p = 0; p < points.size(); ++p) {
        if (found[p]) {
          copy_corner(found[p]->data, shape_of(points[p], model.dims),
                      stacked.data.data() + p * product(shape), shape);
        }
      }
      out.add(std::move(stacked));
    }
  }
}

}  // namespace

Result stack_points(const std::vector<Result>& points) {
  if (points.empty()) throw std::invalid_argument("no points to stack");
  Result out;
  for (const Result& point : points) {
    point.check();
    for (const auto& [name, length] : point.dims) out.dims[name] = std::max(out.dims[name], length);
  }
  if (out.dims.count("point"))
    throw std::invalid_argument("the points have a dimension 'point' of their own");
  out.dims["point"] = points.size();
  stack(points, &Result::variables, std::numeric_limits<double>::quiet_NaN(), out);
  stack(points, &Result::text_variables, std::string(), out);
  return out;
}

Estimate Sweep::estimate(ConfigTable& config, const RunContext& context) const {
  const Grid grid = grid_of(config, context.registry);
  std::vector<ConfigTable> configs = configs_of(config, grid, context.seed);
  Estimate all;
  for (ConfigTable& own : configs) {
    RunContext at_point = context;
    all += estimate_experiment(own, at_point);
  }
  config.absorb(configs);
  return all;
}

Result Sweep::run(ConfigTable& config, RunContext& context) const {
  const Grid grid = grid_of(config, context.registry);
  std::vector<ConfigTable> configs = configs_of(config, grid, context.seed);
  std::vector<Result> points;
  for (std::size_t p = 0; p < configs.size(); ++p) {
    RunContext at_point = context;
    at_point.scope += std::to_string(p) + '/';
    points.push_back(run_experiment(configs[p], at_point));
  }
  config.absorb(configs);

  Result all = stack_points(points);
  for (std::size_t a = 0; a < grid.axes.size(); ++a) {
    const Axis& axis = grid.axes[a];
    if (all.has(axis.name)) {
      throw std::invalid_argument(
          fmt::format("sweep.over: the results have a variable '{}' of their own", axis.name));
    }
    std::vector<double> numbers;
    std::vector<std::string> texts;
    for (const auto& point : grid.points) {
      numbers.push_back(axis.values[point[a]].number());
      texts.push_back(axis.values[point[a]].text());
    }
    const std::string long_name = "value of " + axis.key;
    if (std::none_of(numbers.begin(), numbers.end(), [](double x) { return std::isnan(x); })) {
      all.add(Variable{axis.name, axis.units, long_name, {"point"}, std::move(numbers)});
    } else {
      all.add(TextVariable{axis.name, long_name, {"point"}, std::move(texts)});
    }
  }

  JsonWriter regimes;
  regimes.begin_array();
  bool any_regime = false;
  for (std::size_t p = 0; p < points.size(); ++p) {
    const Result& point = points[p];
    const std::string name = name_of(grid, p);
    all.replicas += point.replicas;
    all.diverged += point.diverged;
    for (const std::string& series : point.diverged_series)
      all.diverged_series.push_back(name + ": " + series);
    for (const std::string& warning : point.warnings) all.warnings.push_back(name + ": " + warning);
    all.summary += fmt::format("-- {} --\n{}", name, point.summary);
    if (!point.summary.empty() && point.summary.back() != '\n') all.summary += '\n';
    point.regime.empty() ? regimes.null() : regimes.raw(point.regime);
    any_regime = any_regime || !point.regime.empty();
  }
  regimes.end_array();
  if (any_regime) all.regime = regimes.text();
  return all;
}

}  // namespace slowsde
