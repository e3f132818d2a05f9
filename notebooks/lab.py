"""What the notebooks share: run the program, open what it wrote, and look at it as the figures of plots/ do."""
import os
import pathlib
import subprocess
import sys
import tempfile

import xarray
from IPython import get_ipython

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plots"))

import figures  # noqa: E402
import loader  # noqa: E402
import style  # noqa: E402
from style import plt  # noqa: E402

PROGRAM = os.environ.get("SLOWSDE", str(ROOT / "build" / "slowsde"))
_scratch = tempfile.TemporaryDirectory(prefix="slowsde-")
SCRATCH = pathlib.Path(_scratch.name)  # gone with the notebook's kernel

if get_ipython():
    get_ipython().run_line_magic("matplotlib", "inline")
plt.rcParams.update({"figure.dpi": 110, "figure.constrained_layout.use": True, "axes.spines.top": False,
                     "axes.spines.right": False, "legend.frameon": False,
                     "axes.prop_cycle": plt.cycler(color=style.COLOURS)})


def command(*words, folder=ROOT):
    """What a program prints; its complaint is the message if it fails."""
    done = subprocess.run([str(w) for w in words], cwd=folder, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def slowsde(*arguments):
    if not pathlib.Path(PROGRAM).is_file():
        raise FileNotFoundError(f"{PROGRAM}: build it (scripts/quickstart), or name another in SLOWSDE")
    return command(PROGRAM, *arguments)


def run(name, config, *options, program=None):
    """Runs a configuration, given as TOML, and returns the run directory."""
    file, out = SCRATCH / f"{name}.toml", SCRATCH / name
    file.write_text(config, encoding="utf-8")
    arguments = ("run", file, "--out", out, "--force", "--quiet", *options)
    command(program, *arguments) if program else slowsde(*arguments)
    return out


def data(path):
    """result.nc as an xarray data set; series and observables are its coordinates."""
    with xarray.open_dataset(path / "result.nc") as opened:
        return opened.load()


def figure(path):
    """The figure that `slowsde plot` draws of a run, and its caption."""
    done = loader.open_run(path)
    with style.context():
        fig, caption = figures.draw(done.figure, [done])
        fig.set_dpi(110)
    print(" ".join(caption.split()))
    return fig
