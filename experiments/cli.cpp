#include "slowsde/experiments/cli.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <limits>
#include <system_error>

#include "slowsde/experiments/build_info.hpp"
#include "slowsde/experiments/config.hpp"
#include "slowsde/experiments/errors.hpp"
#include "slowsde/experiments/json.hpp"
#include "slowsde/experiments/plan.hpp"
#include "slowsde/experiments/progress.hpp"
#include "slowsde/experiments/ranks.hpp"
#include "slowsde/experiments/registry.hpp"
#include "slowsde/experiments/run_directory.hpp"
#include "slowsde/experiments/run_journal.hpp"
#include "slowsde/experiments/scaffold.hpp"
#include "slowsde/experiments/verification.hpp"
#include "slowsde/sde/parallel.hpp"

namespace slowsde {

namespace fs = std::filesystem;

namespace {

constexpr const char* python = "/usr/bin/python3";

constexpr const char* exit_code_table = R"(Exit codes:
  0  done
  1  failed while running
  2  the command line or the configuration is wrong
  3  inconclusive (verification only)
  4  every replica of a series diverged; the results are written
  5  a file or directory can not be read or written
  6  the backend is not in this build or on this machine)";

int say_error(std::string message, ExitCode code) {
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  std::cout.flush();
  std::cerr << "slowsde: " << message << std::endl;
  return static_cast<int>(code);
}

std::string size_text(double bytes) {
  const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 4) bytes /= 1000, ++unit;
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}

// ------------------------------------------------------------------------------------------------ run

struct RunOptions {
  std::string config_file, out, backend = "cpu";
  std::vector<std::string> sets;
  int threads = 0;
  std::optional<std::uint64_t> seed;
  double rank_timeout = 300;
  bool force = false, resume = false, json = false, dry_run = false, quiet = false;
  bool plan = false;  // of `slowsde plan`: prints, and writes a directory only where --out names one
};

// A suite has no seed: that of each of its parts is set.
void set_seed(ConfigTable& config, std::uint64_t seed) {
  if (config.kind("kind") == ConfigKind::text && config.get<std::string>("kind", "") == "suite") {
    for (ConfigTable& part : config.tables("parts")) set_seed(part, seed);
  } else {
    config.assign("seed", ConfigValue::of(static_cast<std::int64_t>(seed)));
  }
}

Backend backend_of(const std::string& name) {
  if (name == "cpu") return Backend::cpu;
  if (!build_info().cuda)
    throw BackendError("--backend cuda: this slowsde was built without CUDA (preset `cuda`)");
  const Hardware machine = hardware();
  if (machine.gpus.empty()) throw BackendError("--backend cuda: no GPU to compute on: " + machine.why_no_gpu);
  return Backend::cuda;
}

void show_estimate(const Estimate& estimate, bool json) {
  if (json) {
    JsonWriter out;
    out.begin_object().member("schema_version", 1).member("work", estimate.work);
    out.key("seconds");
    estimate.seconds > 0 ? out.value(estimate.seconds) : out.null();
    out.member("bytes", estimate.bytes).member("notes", estimate.notes).end_object();
    std::cout << out.text();
    return;
  }
  std::cout << fmt::format("time:   {}\n", estimate.seconds > 0 ? "about " + clock_text(estimate.seconds)
                                                                : std::string("not known"));
  std::cout << fmt::format("memory: about {}\n", size_text(estimate.bytes));
  for (const std::string& note : estimate.notes) std::cout << note << '\n';
}

/// All that the pieces of a run depend on, but for the data files that its configuration names.
std::string identity_of(const ConfigTable& config, const std::string& backend) {
  const BuildInfo build = build_info();
  return fmt::format("{} {}\n{}\n{}\n{}\n{}\n{}", build.version, build.git_hash, build.compiler, build.flags,
                     build.instruction_set, backend, config.effective());
}

int run_command(const RunOptions& options, const Registry& registry,
                const std::vector<std::string>& command) {
  ConfigTable config = ConfigTable::load(options.config_file, options.sets);
  if (options.seed) set_seed(config, *options.seed);
  if (options.plan && config.get<std::string>("kind", "plan") != "plan")
    throw config.error("kind", "must be \"plan\" for slowsde plan");
  const Launch launch = read_launch();
  const bool first = launch.rank == 0;  // the process that reports and writes
  Progress progress(Progress::style_for_stderr(options.quiet || options.plan || !first), std::cerr);
  RunContext context{registry, progress};
  context.threads = options.threads > 0 ? options.threads : available_threads();
  context.backend = backend_of(options.backend);
  if (options.resume && launch.several())
    throw std::invalid_argument("--resume: a run that several processes share can not be resumed");
  context.ranks = connect_ranks(launch, context.backend, options.rank_timeout);

  const Estimate estimate = estimate_experiment(config, context);
  config.finish();  // before anything is measured or run
  if (options.dry_run) {
    context.measure = true;
    const Estimate measured = estimate_experiment(config, context);
    if (first) show_estimate(measured, options.json);
    return static_cast<int>(ExitCode::ok);
  }
  if (first && estimate.bytes > static_cast<double>(hardware().memory_bytes)) {
    std::cerr << fmt::format("slowsde: warning: the run needs about {} of memory, this machine has {}\n",
                             size_text(estimate.bytes),
                             size_text(static_cast<double>(hardware().memory_bytes)));
  }
  const fs::path out = options.out.empty() ? fs::path("results") / fs::path(options.config_file).stem()
                                           : fs::path(options.out);
  const bool writes = first && (!options.plan || !options.out.empty());
  std::optional<RunDirectory> directory;
  if (writes) directory.emplace(out, options.force);
  std::optional<RunJournal> journal;
  if (options.resume) {
    const fs::path& destination = directory->destination();
    journal.emplace(destination.parent_path() / fmt::format(".{}.pieces", destination.filename().string()),
                    identity_of(config, options.backend));
    context.journal = &*journal;
    if (journal->found() > 0 && !options.quiet)
      std::cerr << fmt::format("slowsde: {} finished pieces are taken up\n", journal->found());
  }

  RunRecord record;
  record.command = command;
  record.config_file = options.config_file;
  record.threads = context.threads;
  record.backend = options.backend;
  record.started = utc_now();
  const auto begin = std::chrono::steady_clock::now();
  progress.start(estimate.work);
  const Result result = run_experiment(config, context);
  progress.finish();
  record.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  record.finished = utc_now();
  if (result.attributes.count("seed") > 0) record.seed = context.seed;
  const ExitCode code = result.diverged_series.empty() ? ExitCode::ok : ExitCode::diverged;
  record.exit_status = static_cast<int>(code);
  fs::path aside;
  if (directory) {
    directory->write_run(result, config.effective(), record);
    aside = directory->commit();
  }
  if (journal) journal->remove();

  if (!first) return static_cast<int>(code);
  if (options.json && options.plan) {
    std::cout << plan_json(result);
  } else if (options.json) {
    JsonWriter json;
    json.begin_object().member("directory", out.string()).member("moved_aside", aside.string());
    json.key("run").raw(run_json(record, result)).end_object();
    std::cout << json.text();
  } else if (!options.quiet) {
    std::cout << result.summary;
    if (!result.summary.empty() && result.summary.back() != '\n') std::cout << '\n';
    if (!aside.empty()) std::cout << "the former run is in " << aside.string() << '\n';
    if (writes) std::cout << "wrote " << out.string() << '\n';
  }
  for (const std::string& warning : result.warnings) std::cerr << "slowsde: warning: " << warning << '\n';
  if (code == ExitCode::diverged) {
    std::string series;
    for (const std::string& name : result.diverged_series) series += (series.empty() ? "" : ", ") + name;
    return say_error(
        fmt::format("every replica diverged of: {} (the results are in {})", series, out.string()), code);
  }
  return static_cast<int>(code);
}

// ------------------------------------------------------------------------------------------------ verify

struct VerifyOptions {
  std::string suite = "quick", filter, out;
  std::uint64_t seed = 1;
  int threads = 0;
  bool force = false, json = false, quiet = false, rivals = false;
};

int verify_command(const VerifyOptions& options, const Registry& registry,
                   const std::vector<std::string>& command) {
  const Effort effort = options.suite == "full" ? Effort::full : Effort::quick;
  std::optional<RunDirectory> directory;
  if (!options.out.empty()) directory.emplace(options.out, options.force);
  Progress progress(Progress::style_for_stderr(options.quiet), std::cerr);
  RunRecord record;
  record.command = command;
  record.seed = options.seed;
  record.threads = options.threads > 0 ? options.threads : available_threads();
  record.started = utc_now();
  const auto begin = std::chrono::steady_clock::now();
  const Verification verification =
      verify(registry, effort, options.filter, options.seed, record.threads, progress);
  record.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  record.finished = utc_now();
  record.exit_status = verification.exit_status();
  const std::string json = verification_json(verification);
  if (directory) {
    ConfigTable config;
    config.get<std::string>("kind", "verification");
    config.get<std::string>("suite", options.suite);
    config.get<std::string>("filter", options.filter);
    config.get<std::uint64_t>("seed", options.seed);
    directory->write("verification.json", json);
    directory->write_run(verification_result(verification), config.effective(), record);
    directory->commit();
  }
  std::cout << (options.json ? json : verification_table(verification, options.rivals));
  return verification.exit_status();
}

// ------------------------------------------------------------------------------------------------ the others

int list_command(const Registry& registry, bool as_json) {
  if (as_json) {
    JsonWriter json;
    json.begin_object().member("schema_version", 1);
    registry.for_each_catalogue([&](const auto& catalogue) {
      json.key(catalogue.plural()).begin_array();
      for (const auto& item : catalogue.items()) {
        json.begin_object().member("name", item.name).member("summary", item.summary).end_object();
      }
      json.end_array();
    });
    std::cout << json.end_object().text();
    return static_cast<int>(ExitCode::ok);
  }
  std::size_t width = 0;
  registry.for_each_catalogue([&](const auto& catalogue) {
    for (const auto& item : catalogue.items()) width = std::max(width, item.name.size());
  });
  bool first = true;
  registry.for_each_catalogue([&](const auto& catalogue) {
    if (catalogue.items().empty()) return;
    std::cout << (first ? "" : "\n") << catalogue.plural() << '\n';
    first = false;
    for (const auto& item : catalogue.items())
      std::cout << fmt::format("  {:<{}}  {}\n", item.name, width, item.summary);
  });
  return static_cast<int>(ExitCode::ok);
}

int info_command(bool as_json) {
  const BuildInfo build = build_info();
  const Hardware machine = hardware();
  if (as_json) {
    JsonWriter json;
    json.begin_object().member("schema_version", 1).member("version", build.version);
    json.member("git_hash", build.git_hash)
        .member("compiler", build.compiler)
        .member("build_type", build.build_type);
    json.member("flags", build.flags).member("instruction_set", build.instruction_set);
    json.member("doubles_per_register", build.doubles_per_register);
    json.member("cuda", build.cuda).member("mpi", build.mpi).member("nccl", build.nccl);
    json.member("cpu", machine.cpu)
        .member("cores", machine.cores)
        .member("memory_bytes", machine.memory_bytes);
    json.member("cpu_features", machine.features).member("gpus", machine.gpus);
    json.member("why_no_gpu", machine.why_no_gpu).end_object();
    std::cout << json.text();
    return static_cast<int>(ExitCode::ok);
  }
  const auto joined = [](const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text.empty() ? std::string("none") : text;
  };
  const auto yes = [](bool built) { return built ? "built in" : "not built in"; };
  const auto line = [](std::string_view name, const std::string& text) {
    std::cout << fmt::format("{:<13} {}\n", name, text);
  };
  line("version", build.version + " (" + build.git_hash + ")");
  line("compiler", build.compiler + ", " + build.build_type);
  line("flags", build.flags);
  line("SIMD", fmt::format("{}, {} doubles a register", build.instruction_set, build.doubles_per_register));
  line("CPU", fmt::format("{}, {} cores", machine.cpu, machine.cores));
  line("CPU features", joined(machine.features));
  line("memory", size_text(static_cast<double>(machine.memory_bytes)));
  line("GPUs", machine.gpus.empty() ? "none: " + machine.why_no_gpu : joined(machine.gpus));
  line("CUDA", yes(build.cuda));
  line("MPI", yes(build.mpi));
  line("NCCL", yes(build.nccl));
  return static_cast<int>(ExitCode::ok);
}

int bench_command(const Registry& registry, const std::vector<std::string>& names, int threads,
                  bool as_json) {
  if (registry.benchmarks.items().empty()) throw std::runtime_error("this program has no benchmarks");
  std::vector<BenchmarkRow> rows;
  if (names.empty()) {
    for (const auto& item : registry.benchmarks.items()) {
      for (BenchmarkRow& row : item.entry(threads)) rows.push_back(std::move(row));
    }
  }
  for (const std::string& name : names) {
    for (BenchmarkRow& row : registry.benchmarks.at(name)(threads)) rows.push_back(std::move(row));
  }
  if (as_json) {
    JsonWriter json;
    json.begin_object().member("schema_version", 1).member("threads", threads);
    json.member("cpu", hardware().cpu).key("rows").begin_array();
    for (const BenchmarkRow& row : rows) {
      json.begin_object().member("loop", row.loop).member("setting", row.setting).member("unit", row.unit);
      json.member("items", row.items).member("seconds", row.seconds).member("note", row.note).end_object();
    }
    std::cout << json.end_array().end_object().text();
    return static_cast<int>(ExitCode::ok);
  }
  std::size_t loop = 4, setting = 7;
  for (const BenchmarkRow& row : rows) {
    loop = std::max(loop, row.loop.size());
    setting = std::max(setting, row.setting.size());
  }
  std::cout << fmt::format("{}, {} threads\n", hardware().cpu, threads);
  std::cout << fmt::format("{:<{}}  {:<{}}  {:>10}  {:>12}\n", "loop", loop, "setting", setting, "seconds",
                           "per second");
  for (const BenchmarkRow& row : rows) {
    std::cout << fmt::format("{:<{}}  {:<{}}  {:>10.4f}  {:>12.4g} {}  {}\n", row.loop, loop, row.setting,
                             setting, row.seconds, row.items / row.seconds, row.unit, row.note);
  }
  return static_cast<int>(ExitCode::ok);
}

// Replaces this process by a script of plots/, so the script's exit status is ours.
int script_command(const std::string& name, const std::vector<std::string>& arguments) {
  std::vector<std::string> folders;
  if (const char* named = std::getenv("SLOWSDE_PLOTS")) {
    folders.push_back(named);
  } else {
    folders = build_info().plot_folders;
  }
  std::string script;
  for (const std::string& folder : folders) {
    std::error_code ignored;
    if (script.empty() && fs::is_regular_file(fs::path(folder) / name, ignored)) script = folder + "/" + name;
  }
  if (script.empty()) {
    std::string all;
    for (const std::string& folder : folders) all += (all.empty() ? "" : ", ") + folder;
    throw IoError(name + " is in none of: " + all + " (the variable SLOWSDE_PLOTS names its folder)");
  }
  std::vector<char*> argv{const_cast<char*>(python), script.data()};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::cout.flush();
  ::execv(python, argv.data());
  throw IoError(fmt::format("{}: {}", python, std::strerror(errno)));
}

// The folder of slowsdeConfig.cmake that belongs to this program: its build tree or its installation.
std::string package_folder() {
  std::error_code code;
  const fs::path program = fs::read_symlink("/proc/self/exe", code);
  const fs::path folder = program.parent_path();
  for (const fs::path& candidate : {folder, folder.parent_path() / "lib/cmake/slowsde"})
    if (!code && fs::is_regular_file(candidate / "slowsdeConfig.cmake", code)) return candidate.string();
  return {};
}

int new_problem_command(const std::string& name) {
  const auto files = problem_scaffold(name, package_folder());
  if (fs::exists(fs::symlink_status(name))) throw IoError(name + " exists and is left as it is");
  RunDirectory directory(name, false);
  for (const auto& [file, text] : files) directory.write(file, text);
  directory.commit();
  std::cout << fmt::format("wrote {0}/: {0}.hpp is the problem, README.md says how to build and run it\n",
                           name);
  return static_cast<int>(ExitCode::ok);
}

int dispatch(int argc, const char* const* argv, const Registry& registry) {
  CLI::App app("SGD and Local SGD beside their slow SDEs.", "slowsde");
  app.require_subcommand(1);
  app.set_version_flag("--version", build_info().version);
  app.footer(exit_code_table);
  bool json = false;
  int threads = 0;
  const auto threads_option = [](CLI::App* to, int& value) {
    to->add_option("--threads", value, "Threads; default: all processors")->check(CLI::Range(1, 4096));
  };

  CLI::App* list =
      app.add_subcommand("list", "What there is: experiments, problems, models, rules, steppers, ...");
  list->add_flag("--json", json, "As JSON");

  RunOptions options;
  std::uint64_t seed = 0;
  CLI::App* run = app.add_subcommand("run", "Run the experiment of a configuration");
  run->add_option("config", options.config_file, "Configuration, TOML")->required();
  run->add_option("--set", options.sets, "Set a key: a.b=VALUE, iterates.0.lr=0.1; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  run->add_option("--out", options.out,
                  "Directory of the results; default: results/<name of the configuration>");
  run->add_option("--backend", options.backend, "cpu (default) or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  threads_option(run, options.threads);
  run->add_option("--rank-timeout", options.rank_timeout,
                  "Under mpirun and the like: seconds to wait for a process before it counts as lost")
      ->check(CLI::PositiveNumber);
  CLI::Option* seed_option =
      run->add_option("--seed", seed, "Replaces the configuration's seed (of every part of a suite)")
          ->check(CLI::Range(std::uint64_t{0},
                             static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  run->add_flag("--force", options.force, "Move an existing directory aside, to <directory>.~N~");
  run->add_flag("--resume", options.resume,
                "Keep finished pieces beside the directory, and go on from those of a run that was stopped");
  run->add_flag("--json", options.json, "Print what was done as JSON");
  run->add_flag("--dry-run", options.dry_run, "Only check the configuration, and estimate time and memory");
  run->add_flag("--quiet", options.quiet, "No progress, no summary");
  run->footer(exit_code_table);

  RunOptions plan_options;
  plan_options.plan = true;
  CLI::App* plan = app.add_subcommand(
      "plan", "Which H? Communication, wall clock and predicted drift of rules, without training");
  plan->add_option("config", plan_options.config_file, "Configuration of kind plan (TOML)")->required();
  plan->add_option("--set", plan_options.sets,
                   "Set a key: a.b=VALUE, rules.0.rule.alpha=0.1; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  plan->add_option("--out", plan_options.out, "Directory of the results; default: only print");
  plan->add_flag("--force", plan_options.force, "Move an existing directory aside, to <directory>.~N~");
  plan->add_flag("--json", plan_options.json, "Print the numbers as JSON");
  plan->add_flag("--quiet", plan_options.quiet, "No summary");
  plan->footer(exit_code_table);

  VerifyOptions verify_options;
  CLI::App* verification =
      app.add_subcommand("verify",
                         "Measure the claims of the theory and judge them: exit 0 if all are "
                         "confirmed, 1 if one is refuted, 3 if one is inconclusive");
  verification->add_option("--suite", verify_options.suite, "quick (default) or full")
      ->check(CLI::IsMember({"quick", "full"}));
  verification->add_option("--filter", verify_options.filter,
                           "Only claims whose name this expression matches");
  verification->add_option("--seed", verify_options.seed, "Of all measurements; default 1")
      ->check(
          CLI::Range(std::uint64_t{0}, static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  threads_option(verification, verify_options.threads);
  verification->add_option("--out", verify_options.out, "Directory for the table, JSON and NetCDF");
  verification->add_flag("--force", verify_options.force, "Move an existing directory aside");
  verification->add_flag("--rivals", verify_options.rivals, "A line for each wrong theory, too");
  verification->add_flag("--json", verify_options.json, "As JSON");
  verification->add_flag("--quiet", verify_options.quiet, "No progress");

  CLI::App* plot =
      app.add_subcommand("plot", "Figures (PNG and SVG) from directories of results: plot DIR...");
  plot->prefix_command();
  CLI::App* report = app.add_subcommand(
      "report", "One self-contained HTML page from directories of results: report DIR... [--out FILE]");
  report->prefix_command();

  CLI::App* info = app.add_subcommand("info", "Version, build, CPU, GPUs");
  info->add_flag("--json", json, "As JSON");

  std::vector<std::string> benchmark_names;
  CLI::App* bench = app.add_subcommand("bench", "Throughput of the main loops on this machine");
  bench->add_option("names", benchmark_names, "Which; default: all");
  threads_option(bench, threads);
  bench->add_flag("--json", json, "As JSON");

  std::string problem_name;
  CLI::App* fresh = app.add_subcommand("new", "Begin something of your own");
  fresh->require_subcommand(1);
  CLI::App* fresh_problem =
      fresh->add_subcommand("problem", "A directory with a problem of your own, to build and run");
  fresh_problem->add_option("name", problem_name, "Its name, also of the C++ struct")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success))
      return app.exit(e);  // --help, --version
    return say_error(std::string(e.what()) + " (slowsde --help)", ExitCode::usage);
  }
  if (*seed_option) options.seed = seed;
  if (*list) return list_command(registry, json);
  if (*run) return run_command(options, registry, std::vector<std::string>(argv, argv + argc));
  if (*plan) return run_command(plan_options, registry, std::vector<std::string>(argv, argv + argc));
  if (*verification)
    return verify_command(verify_options, registry, std::vector<std::string>(argv, argv + argc));
  for (const CLI::App* script : {plot, report}) {
    if (!*script) continue;
    const std::vector<std::string> arguments = script->remaining();
    if (arguments.empty())
      return say_error(script->get_name() + ": name at least one directory of results", ExitCode::usage);
    return script_command(script->get_name() + ".py", arguments);
  }
  if (*info) return info_command(json);
  if (*bench)
    return bench_command(registry, benchmark_names, threads > 0 ? threads : available_threads(), json);
  return new_problem_command(problem_name);
}

}  // namespace

int main(int argc, const char* const* argv, const std::function<void(Registry&)>& extend) {
  try {
    Registry registry = builtin_registry();
    if (extend) extend(registry);
    const int status = dispatch(argc, argv, registry);
    std::cout.flush();
    if (!std::cout) return say_error("standard output can not be written", ExitCode::io);
    return status;
  } catch (const ConfigError& e) {
    return say_error(e.what(), ExitCode::usage);
  } catch (const IoError& e) {
    return say_error(e.what(), ExitCode::io);
  } catch (const BackendError& e) {
    return say_error(e.what(), ExitCode::backend);
  } catch (const std::invalid_argument& e) {
    return say_error(e.what(), ExitCode::usage);
  } catch (const std::system_error& e) {
    return say_error(e.what(), ExitCode::io);
  } catch (const std::bad_alloc&) {
    return say_error("out of memory", ExitCode::failure);
  } catch (const std::exception& e) {
    return say_error(e.what(), ExitCode::failure);
  } catch (...) {
    return say_error("an unknown exception", ExitCode::failure);
  }
}

}  // namespace slowsde
