"""Opens run directories: result.nc, config.toml and run.json as plain objects.

A run holds ensembles: one, or one at each point of a sweep. An ensemble holds series: iterates and models.
netCDF4 is used without a decoding layer, so that nothing is turned into times or indices on the way.
"""
import dataclasses
import json
import pathlib
import tomllib

import netCDF4
import numpy as np

SCHEMA = 1


class Unreadable(Exception):
    """A directory that can not be plotted; the message is one line that names the cause."""


def one_line(error):
    return " ".join(str(error).split())


@dataclasses.dataclass
class Series:
    """Iterates or a model; arrays over time (T) and observables (M)."""

    name: str
    of: str  # the iterates that a model models; empty for iterates
    is_model: bool
    deterministic: bool
    settings: dict  # workers, local_batch, eta, local_steps (NaN where unknown)
    entry: dict  # the model's entry in config.toml; empty if there is none
    t: np.ndarray  # (T) slow time
    steps: np.ndarray  # (T) optimizer steps; NaN where unknown
    mean: np.ndarray  # (T, M)
    se: np.ndarray  # (T, M)
    count: np.ndarray  # (T) replicas in the moments
    diverged: np.ndarray  # (T)
    samples: np.ndarray | None  # (M, samples) values at the last time, NaN where there is none
    quantiles: np.ndarray | None  # (3, T, M, Q): value, lower and upper end of its 95 % interval

    @property
    def theory(self):
        """papers, finite-step, sampling or another name for what the model computes."""
        if self.entry.get("variant", "full") != "full":
            return self.entry["variant"]
        theory, moment = self.entry.get("theory", ""), self.entry.get("moment", "")
        if theory in ("conventional-sde", "quasi-static"):
            return theory
        if moment:
            return "papers" if moment in ("sgd", "psi", "qsr") else moment
        for key in ("sampling", "finite-step"):
            if key in self.name.replace("finite step", "finite-step"):
                return key
        return "papers"


@dataclasses.dataclass
class Ensemble:
    observables: list
    series: list
    coordinates: dict = dataclasses.field(default_factory=dict)  # of a sweep's point
    probabilities: np.ndarray | None = None  # (Q) of the quantiles

    @property
    def iterates(self):
        return [s for s in self.series if not s.is_model]

    def models_of(self, iterates):
        return [s for s in self.series if s.is_model and s.of == iterates.name]

    def theories_of(self, iterates):
        """{theory: the first model that computes it}; further ones are other routes to the same."""
        return {m.theory: m for m in reversed(self.models_of(iterates))}


@dataclasses.dataclass
class Run:
    path: pathlib.Path
    kind: str
    title: str
    config: dict
    record: dict  # run.json
    points: list  # ensembles; one unless this is a sweep
    axes: list  # names of a sweep's coordinates
    parts: list  # names of a suite's parts
    variables: dict = dataclasses.field(default_factory=dict)  # all of result.nc: name -> dims, data

    @property
    def figure(self):
        """Name of the figure that shows this run."""
        return self.config.get("figure") or self.kind

    def require_observable(self, name):
        for ensemble in self.points:
            if name not in ensemble.observables:
                raise Unreadable(f"{self.path / 'result.nc'}: has no observable '{name}', only "
                                 + ", ".join(ensemble.observables))


def single(runs, figure, what):
    """(run, its only ensemble) for a figure that shows one; `what` it calls that."""
    (run,) = runs
    if run.kind == "sweep":
        raise Unreadable(f"{run.path}: is a sweep; the figure '{figure}' shows a single {what}")
    if len(run.points) != 1:
        raise Unreadable(f"{run.path}: has {len(run.points)} ensembles; the figure '{figure}' shows a single {what}")
    (ensemble,) = run.points
    return run, ensemble


def sweep_over_iterates(runs, observable=None):
    """(run, name, index) of a sweep whose points all have iterates, and of the observable shown: by default the first."""
    (run,) = runs
    if run.kind != "sweep" or not all(e.iterates for e in run.points):
        raise Unreadable(f"{run.path}: is no sweep over iterates")
    if observable:
        run.require_observable(observable)
    name = observable or run.points[0].observables[0]
    return run, name, run.points[0].observables.index(name)


VERDICTS = ("confirmed", "refuted", "inconclusive")


def verification(run):
    """What `slowsde verify --out` wrote beside result.nc: the claims with their comparisons and wrong theories."""
    file = run.path / "verification.json"
    judged = _parse(file, json.loads)
    if not isinstance(judged, dict) or not isinstance(judged.get("claims"), list):
        raise Unreadable(f"{file}: is missing or holds no claims")
    if int(judged.get("schema_version", 0)) > SCHEMA:
        raise Unreadable(f"{file}: schema version {judged['schema_version']} is later than {SCHEMA}")

    def require(table, *keys):
        for key in keys:
            if key not in table:
                raise Unreadable(f"{file}: lacks '{key}'")
        if table.get("verdict", VERDICTS[0]) not in VERDICTS:
            raise Unreadable(f"{file}: verdict '{table['verdict']}' is none of {', '.join(VERDICTS)}")

    require(judged, "suite", "seed", "critical_z", "rejection_z", "false_alarm_budget", *VERDICTS)
    for claim in judged["claims"]:
        require(claim, "name", "statement", "source", "verdict", "comparisons")
        for comparison in claim["comparisons"]:
            require(comparison, "quantity", "prediction_by", "measured", "predicted", "margin", "z", "verdict", "reason",
                    "wrong_theories")
    return judged


def is_run(path):
    return (path / "result.nc").is_file()


def parts_below(path):
    """Names of subdirectories that are runs or have some below."""
    return sorted(p.name for p in path.iterdir()
                  if p.is_dir() and not p.name.startswith(".") and (is_run(p) or parts_below(p)))


def open_run(path):
    """The run at `path`. A directory without result.nc whose subdirectories have one is a suite."""
    path = pathlib.Path(path)
    if not path.is_dir():
        raise Unreadable(f"{path}: is no directory")
    if is_run(path):
        return _read(path)
    parts = parts_below(path)
    if not parts:
        raise Unreadable(f"{path}: has no result.nc, neither of its own nor in its subdirectories")
    return Run(path, "suite", "", {}, {}, [], [], parts)


def _read(path):
    config = _parse(path / "config.toml", tomllib.loads)
    record = _parse(path / "run.json", json.loads)
    file = path / "result.nc"
    try:
        with netCDF4.Dataset(file) as data:
            variables = {name: _Array(v.dimensions, np.ma.filled(v[...], np.nan) if v.dtype is not str else v[...])
                         for name, v in data.variables.items()}
            attributes = {name: data.getncattr(name) for name in data.ncattrs()}
    except (OSError, RuntimeError, ValueError) as error:
        raise Unreadable(f"{file}: can not be read ({one_line(error)})") from None
    if "schema_version" not in attributes:
        raise Unreadable(f"{file}: has no schema_version, so it is no result of slowsde")
    if int(attributes["schema_version"]) > SCHEMA:
        raise Unreadable(f"{file}: schema version {attributes['schema_version']} is later than {SCHEMA}")
    kind = attributes.get("kind", "ensemble")
    run = Run(path, kind, attributes.get("title", ""), config, record, [], [], [], variables)
    if kind == "suite":
        names = variables.get("part")
        run.parts = [str(n) for n in names.data] if names else parts_below(path)
        return run
    if kind not in ("ensemble", "sweep") and "series" not in variables:
        return run
    length = next((v.data.shape[0] for v in variables.values() if v.dims[:1] == ("point",)), None)
    run.axes = [name for name, v in variables.items() if v.dims == ("point",)]
    for point in [None] if length is None else range(length):
        run.points.append(_ensemble(file, variables, config, point, run.axes))
    return run


@dataclasses.dataclass
class _Array:
    dims: tuple
    data: np.ndarray


def _parse(file, parse):
    try:
        return parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Unreadable(f"{file}: can not be read ({one_line(error)})") from None


def _ensemble(file, variables, config, point, axes):
    def get(name, optional=False):
        if name not in variables:
            if optional:
                return None
            raise Unreadable(f"{file}: has no variable '{name}'")
        v = variables[name]
        return v.data[point] if v.dims[:1] == ("point",) else v.data

    entries = {m.get("name"): m for m in config.get("models", []) if isinstance(m, dict)}
    # Points of a sweep may differ in their numbers of series, times and observables: the rest is padding.
    observables = [str(o) for o in get("observable") if str(o)]
    M = len(observables)
    names, t = get("series"), np.asarray(get("t"))
    of, is_model = get("models_series"), get("is_model")
    mean, se = np.asarray(get("mean")), np.asarray(get("se"))
    count, diverged = np.asarray(get("count")), np.asarray(get("diverged"))
    deterministic, samples, steps = get("deterministic", True), get("final_sample", True), get("steps", True)
    quantiles = [get(f"quantile_{part}", True) for part in ("value", "lower", "upper")]
    settings = {key: get(key, True) for key in ("workers", "local_batch", "eta", "local_steps")}
    series = []
    for i, name in enumerate(map(str, names)):
        if not name:
            continue
        T = np.isfinite(t[i])
        kept = None
        if samples is not None:
            kept = np.asarray(samples[i][:M], dtype=float)
        series.append(Series(
            name, str(of[i]), bool(is_model[i] == 1), bool(deterministic is not None and deterministic[i] == 1),
            {key: float(v[i]) if v is not None else np.nan for key, v in settings.items()},
            entries.get(name, {}) if is_model[i] == 1 else {},
            t[i][T], steps[i][T] if steps is not None else np.full(T.sum(), np.nan), mean[i][T][:, :M], se[i][T][:, :M], count[i][T], diverged[i][T], kept,
            np.stack([q[i][T][:, :M] for q in quantiles]) if quantiles[0] is not None else None))
    return Ensemble(observables, series, {a: variables[a].data[point] for a in axes}, get("quantile", True))
