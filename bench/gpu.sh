#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in pieces of less than ten minutes: builds with CUDA, runs the tests of
# device code, measures the ensembles (W1, W2) and the training of networks (W3) over replicas, workers and steps,
# Hessian-vector products (W4) over directions, their peers in PyTorch and JAX on the same GPU, counts the floors, draws
# the figures, and runs the tests again under compute-sanitizer (memcheck, racecheck, synccheck, initcheck), each case by
# itself.
#
# usage: bench/gpu.sh [--out DIR] [--built DIR] [--minutes N] [--most REPLICAS] [--most-workers K] [--peers-most REPLICAS]
#                     [--longest SECONDS] [--no-sanitizer] [--no-peers] [--no-figures] [--list]
# Writes DIR (default bench/results/<gpu>): measurements.csv (a line for each measurement, with date and hardware),
# pieces.txt (what is done: it is not done again), notes.txt (what was not measured, and why), instructions.csv and
# floors.csv, figures/, late.txt (cases under compute-sanitizer that took too long: the next time they come last).
# --built: the programs are there, nothing is built or tested. --minutes: no longer than this; what is left is for the
# next time. --longest: of a piece, 590 if not said. --list: what there is to do, without a GPU if the programs are built.
# The peers run under the Python that SLOWSDE_PYTHON names, or /usr/bin/python3; one that lacks PyTorch or JAX leaves
# those lines out and says so. Replicas go up to 1e8 (--most), those of the peers, too (--peers-most); a size that a peer
# has no memory for is left out and said.
# Exit status 77 without a GPU, 1 if a test or a check fails, 75 if the time is up and pieces are left.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

most=1e8 most_workers=4096 peers_most=1e8 longest=590 sanitizer=yes peers=yes figures=yes out='' built='' minutes=0 list=no
while (($#)); do
  case $1 in
    --out) out=$2; shift ;;
    --built) built=$2; shift ;;
    --minutes) minutes=$2; shift ;;
    --most) most=$2; shift ;;
    --most-workers) most_workers=$2; shift ;;
    --peers-most) peers_most=$2; shift ;;
    --longest) longest=$2; shift ;;
    --no-sanitizer) sanitizer=no ;;
    --no-peers) peers=no ;;
    --no-figures) figures=no ;;
    --list) list=yes ;;
    *) sed -n '2,18p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
  shift
done
piece_seconds=$longest
build=${built:-build/cuda}
tools=$(command -v /usr/bin/python3 || command -v python3)
python=${SLOWSDE_PYTHON:-$tools}
exec 3>&1 # what is said is said, wherever a piece's output goes
say() { printf '== %s\n' "$*" >&3; }

if [[ $list == no ]]; then
  # What reads a pipe reads all of it: a writer that is cut off is a failure under pipefail.
  if ! gpus=$(nvidia-smi -L 2>/dev/null) || [[ $gpus != *GPU* ]]; then
    echo "skipped: this machine shows no NVIDIA GPU"
    exit 77
  fi
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | sed -n 1p | tr -cs 'A-Za-z0-9\n' '-' | sed 's/-$//')
  out=${out:-bench/results/$gpu}
  mkdir -p "$out"
  measured=$out/measurements.csv pieces=$out/pieces.txt notes=$out/notes.txt late=$out/late.txt
  touch "$pieces" "$late"
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# Seconds for what comes next; the script ends here if there are none.
time_left() {
  limit=$longest
  ((minutes)) || return 0
  local left=$((minutes * 60 - SECONDS))
  if ((left < 5)); then
    say "the $minutes minutes are up before $1: run again with the same --out for what is left"
    exit 75
  fi
  ((left >= limit)) || limit=$left
}
is_done() { [[ $list == no ]] && grep -q "^$1 " "$pieces"; }
mark_done() { printf '%s %s\n' "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$pieces"; }

# within_time NAME COMMAND...: its exit status; a piece that the end of the minutes cuts off ends the script.
within_time() {
  local name=$1 result=0
  shift
  time_left "$name"
  timeout --kill-after=10 "$limit" "$@" || result=$?
  if ((result == 124 || result == 137)); then
    if ((limit < longest)); then
      say "the $minutes minutes are up within $name: run again with the same --out for what is left"
      exit 75
    fi
    say "$name takes longer than $longest s"
  fi
  return "$result"
}

# check NAME COMMAND...: a piece without numbers.
check() {
  local name=$1
  if [[ $list == yes ]]; then echo "$name"; return; fi
  if is_done "$name"; then return; fi
  say "$name"
  within_time "$@" || { say "$name failed"; return 1; }
  mark_done "$name"
}

# measure NAME COMMAND...: a piece whose lines of CSV go to the measurements, all or none.
measure() {
  local name=$1 result=0 lines=$scratch/lines
  if [[ $list == yes ]]; then echo "$name"; return; fi
  if is_done "$name"; then return; fi
  say "$name"
  within_time "$@" >"$lines" 2>"$scratch/said" || result=$?
  cat "$scratch/said" >&2
  sed "s/^/$name: /" "$scratch/said" >>"$notes"
  if ((result == 77)); then return; fi
  if ((result != 0)); then
    say "$name failed with status $result: its numbers are left out"
    status=1
    return
  fi
  if (($(wc -l <"$lines") < 2)); then
    say "$name measured nothing"
    return
  fi
  local columns
  columns=piece,$(head -n 1 "$lines")
  if [[ -s $measured && $(head -n 1 "$measured") != "$columns" ]]; then
    say "$measured has other columns than $name: choose another --out"
    exit 1
  fi
  {
    echo "$columns"
    if [[ -s $measured ]]; then sed 1d "$measured" | grep -v "^$name," || true; fi
    sed "1d;s/^/$name,/" "$lines"
  } >"$measured.new"
  mv "$measured.new" "$measured"
  mark_done "$name"
  sed 1d "$lines"
}

if [[ -z $built && $list == no ]]; then
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sed -n 1p | tr -d .)
  say "build for sm_$architecture"
  longest=86400 # no piece of work with numbers: ninja goes on where it was stopped
  within_time build cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$architecture"
  within_time build cmake --build build/cuda --target slowsde_bench_gpu slowsde_bench_gpu_training \
    slowsde_bench_gpu_hessian --parallel
  within_time build cmake --build build/cuda --parallel
  longest=$piece_seconds
  build/cuda/slowsde info
fi
# A test that fails is named and the others and the measurements, which check what they compute, go on: a machine with
# a GPU may not come again soon.
if [[ -z $built ]]; then
  names=$(ctest --test-dir build/cuda -N -L gpu | sed -n 's/^ *Test *#[0-9]*: //p')
  [[ -n $names ]] || { say "there are no tests of device code"; status=1; }
  for name in $names; do
    check "$name" ctest --test-dir build/cuda -R "^$name\$" --output-on-failure --no-tests=error || status=1
  done
fi

ensemble_pieces=$("$build/slowsde_bench_gpu" list)
training_pieces=$("$build/slowsde_bench_gpu_training" list)
hessian_pieces=$("$build/slowsde_bench_gpu_hessian" list)
for piece in $ensemble_pieces; do
  measure "$piece" "$build/slowsde_bench_gpu" "$piece" "$most"
done
for piece in $training_pieces; do
  measure "$piece" "$build/slowsde_bench_gpu_training" "$piece" "$most_workers"
done
for piece in $hessian_pieces; do
  measure "$piece" "$build/slowsde_bench_gpu_hessian" "$piece"
done

# The forms over replicas (W3: workers, W4: directions); those that do best over what is left, too.
if [[ $peers == yes ]] && ! "$python" -c 'import numpy' 2>/dev/null; then
  say "no NumPy in $python: no peers are measured"
  peers=no
fi
if [[ $peers == yes ]]; then
  ensembles() {
    measure "$1-$2-$3" "$python" bench/peers/gpu_ensembles.py "$1" "$2" "$3" --most "$peers_most"
  }
  for form in $("$python" bench/peers/gpu_ensembles.py list); do
    for precision in f32 f64; do
      ensembles "$form" "$precision" replicas
      case $form in
        W1-torch-compile | W1-jax-jit) ensembles "$form" "$precision" workers ;;
      esac
      case $form in
        *-torch-compile | *-jax-jit) ensembles "$form" "$precision" steps ;;
      esac
    done
  done
  training() {
    local name=W3-$1-$2
    if [[ $list == no && ! -d $scratch/w3 ]] && ! is_done "$name"; then
      within_time "data of W3" "$build/slowsde_bench_gpu_training" data "$scratch/w3" "$most_workers"
    fi
    measure "$name" "$python" bench/peers/gpu_training.py "$1" "$2" --data "$scratch/w3" --most "$most_workers"
  }
  for form in $("$python" bench/peers/gpu_training.py list); do
    training "$form" workers
    case $form in
      torch-bmm-by-hand | jax-vmap) training "$form" steps ;;
    esac
  done
  hessian() {
    local name=W4-$1-$2-directions
    if [[ $list == no && ! -d $scratch/w4 ]] && ! is_done "$name"; then
      within_time "data of W4" "$build/slowsde_bench_gpu_hessian" data "$scratch/w4"
    fi
    measure "$name" "$python" bench/peers/gpu_hessian.py "$1" "$2" --data "$scratch/w4"
  }
  for form in $("$python" bench/peers/gpu_hessian.py list); do
    for precision in f32 f64; do hessian "$form" "$precision"; done
  done
fi

if [[ $list == no ]]; then
  say "floors, ratios and figures"
  instructions=()
  if command -v cuobjdump >/dev/null && [[ -s $measured ]]; then
    # The columns by their names: multiprocessors and clock of slowsde's first line.
    read -r multiprocessors clock < <(awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) at[$i] = i }
      NR > 1 && $at["clock_mhz"] { print $at["multiprocessors"], $at["clock_mhz"]; exit }' "$measured")
    result=0
    "$tools" bench/sass_floor.py "$build/slowsde_bench_gpu" "$build/slowsde_bench_gpu_training" --clock "$clock" \
      --multiprocessors "$multiprocessors" --measured "$measured" >"$out/instructions.csv" || result=$?
    ((result == 0 || result == 77)) || status=1
    instructions=(--instructions "$out/instructions.csv")
  else
    say "no cuobjdump or no measurements: the instructions are not counted"
  fi
  "$tools" bench/gpu_summary.py "$measured" "${instructions[@]}" --floors "$out/floors.csv" || status=1
  if [[ $figures == yes ]]; then
    if "$tools" -c 'import matplotlib' 2>/dev/null; then
      "$tools" bench/figure_gpu.py "$measured" --out "$out/figures" || status=1
    else
      say "no matplotlib in $tools: bench/figure_gpu.py $measured draws the figures where there is one"
    fi
  fi
fi

# sanitize TOOL PROGRAM NUMBER NAME: one case of a test program under compute-sanitizer.
sanitize() {
  local tool=$1 program=$2 number=$3 name=$4 result=0
  is_done "$name" && return
  say "$name"
  # By its number: in a filter by name commas and stars have a meaning. The test of refused memory asks for too much on
  # purpose: the refusal is not an error of the program.
  within_time "$name" compute-sanitizer --tool "$tool" --error-exitcode 1 --report-api-errors no "$program" \
    --first="$number" --last="$number" || result=$?
  if ((result == 124 || result == 137)); then
    say "$name is unchecked: it ran out of its $longest s"
    grep -qx "$name" "$late" || echo "$name" >>"$late"
    status=1
  elif ((result != 0)); then
    say "$name failed"
    status=1
  else
    mark_done "$name"
    sed -i "/^$name\$/d" "$late"
  fi
}

# sanitize_all no: the cases that have not been late yet; sanitize_all yes: those that have.
sanitize_all() {
  local tool source test program cases case number name
  for tool in memcheck racecheck synccheck initcheck; do
    for source in tests/gpu/test_*.cu tests/gpu/test_device_*.cpp; do
      test=$(basename "${source%.*}")
      program=build/cuda/tests/$test
      if [[ $list == yes ]]; then echo "$tool-$test-*"; continue; fi
      # The names stand between two lines of "=".
      cases=$("$program" --list-test-cases | awk '/^=+$/ { ++line; next } line == 1') || cases=''
      if [[ -z $cases ]]; then
        say "$test lists no cases"
        status=1
        continue
      fi
      number=0
      while IFS= read -r case; do
        number=$((number + 1))
        name=$tool-$test-$number-$(tr -cs 'A-Za-z0-9' '-' <<<"$case" | sed 's/^-//;s/-$//')
        if grep -qx "$name" "$waiting"; then [[ $1 == yes ]] || continue; else [[ $1 == no ]] || continue; fi
        sanitize "$tool" "$program" "$number" "$name" </dev/null
      done <<<"$cases"
    done
  done
}

if [[ $sanitizer == yes && -z $built ]]; then
  if [[ $list == yes ]]; then
    sanitize_all no
  elif command -v compute-sanitizer >/dev/null; then
    waiting=$scratch/waiting
    cp "$late" "$waiting"
    sanitize_all no
    if [[ -s $waiting ]]; then sanitize_all yes; fi
  else
    say "compute-sanitizer is not installed: memory and races are unchecked"
  fi
fi
exit "$status"
