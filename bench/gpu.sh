#!/usr/bin/env bash
# Everything that needs a GPU, in one go: builds with CUDA, runs the tests of device code, runs them again under
# compute-sanitizer (memcheck and racecheck), measures the ensembles (W1, W2) over replicas and workers, their peers
# in PyTorch and JAX on the same GPU, counts the floor from the machine code, measures ensembles of diagonal networks
# over their dimension, and the training of networks (W3) over workers, on both paths.
#
# usage: bench/gpu.sh [--most REPLICAS] [--no-sanitizer] [--no-peers] [--out DIR]
# Writes DIR (default bench/results) gpu-ensembles-<gpu>-<date>.csv, gpu-training-… and gpu-floor-…. The peers run under
# the Python that SLOWSDE_PYTHON names, or python3; one that lacks PyTorch or JAX leaves those lines out and says so.
# Exit status 77 without a GPU, 1 if a test or a check fails.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

most=1e8 sanitizer=yes peers=yes out=bench/results
while (($#)); do
  case $1 in
    --most) most=$2; shift ;;
    --no-sanitizer) sanitizer=no ;;
    --no-peers) peers=no ;;
    --out) out=$2; shift ;;
    *) sed -n '2,12p' "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
  shift
done
say() { printf '== %s\n' "$*"; }

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L | grep -q GPU; then
  echo "skipped: this machine shows no NVIDIA GPU"
  exit 77
fi
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tr -cs 'A-Za-z0-9\n' '-' | sed 's/-$//')
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
stamp=$gpu-$(date -u +%Y-%m-%d)
mkdir -p "$out"

say "build for sm_$architecture"
cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$architecture"
cmake --build build/cuda --parallel
cmake --build build/cuda --target slowsde_bench_gpu slowsde_bench_gpu_training
build/cuda/slowsde info

say "tests"
ctest --test-dir build/cuda -L gpu --output-on-failure --no-tests=error

if [[ $sanitizer == yes ]]; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      for source in tests/gpu/test_*.cu tests/gpu/test_device_*.cpp; do
        name=$(basename "${source%.*}")
        program=$(find build/cuda -type f -name "$name" -perm -u+x | head -n 1)
        say "$tool $name"
        # The test of refused memory asks for too much on purpose: the refusal is not an error of the program.
        compute-sanitizer --tool "$tool" --error-exitcode 1 --report-api-errors no "$program"
      done
    done
  else
    say "compute-sanitizer is not installed: memory and races are unchecked"
  fi
fi

say "ensembles"
measured=$out/gpu-ensembles-$stamp.csv
build/cuda/slowsde_bench_gpu "$most" | tee "$measured"

say "training"
build/cuda/slowsde_bench_gpu_training | tee "$out/gpu-training-$stamp.csv"

if [[ $peers == yes ]]; then
  say "peers"
  "${SLOWSDE_PYTHON:-python3}" bench/peers/gpu_ensembles.py | tee -a "$measured" || say "peers: not all were measured"
fi

say "floor"
if command -v cuobjdump >/dev/null; then
  clock=$(awk -F, 'NR == 2 { print $4 }' "$measured")
  multiprocessors=$(awk -F, 'NR == 2 { print $3 }' "$measured")
  python3 bench/sass_floor.py build/cuda/slowsde_bench_gpu --clock "$clock" --multiprocessors "$multiprocessors" \
    --measured "$measured" | tee "$out/gpu-floor-$stamp.csv"
else
  say "cuobjdump is not installed: the floor is not counted"
fi

say "best of each program"
python3 - "$measured" <<'PYTHON'
import csv, sys
best = {}
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
    key = row["workload"], row["precision"], row["program"]
    best[key] = max(best.get(key, 0.0), float(row["per_second_total"]))
for (workload, precision, program), rate in sorted(best.items()):
    print(f"{workload} {precision} {program:24} {rate:.3g} steps/s end to end")
PYTHON

say "diagonal networks: what their measurements take"
python3 - "$measured" <<'PYTHON'
import csv, sys
samples = 40  # network_samples of bench/gpu_ensembles.cu
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
    workload, _, dimension = row["workload"].rpartition("-")
    if workload != "diagonal-network":
        continue
    # A step of a worker reads each measurement twice, for the outputs and for the gradient: the floor in bytes, from
    # whichever of the memories holds them, is this rate over that memory's.
    step = 2 * samples * (int(dimension) // 2) * {"f32": 4, "f64": 8}[row["precision"]]
    rate = float(row["per_second_kernel"])
    print(f"d = {dimension:>6} {row['precision']} {rate:.3g} steps/s, {step} bytes a step, {1e-9 * step * rate:.0f} GB/s")
PYTHON
