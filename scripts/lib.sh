# shellcheck shell=bash disable=SC2034
# Shared by scripts/quickstart and scripts/test: packages, the build, the exported data. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=/usr/bin/python3  # another python may come first in PATH and lack the packages
build_dir=$root/build
digits_file=results/data/digits.csv  # relative to the root; the configs that train on digits name it

say() { printf '== %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The files of scripts/ that name the packages; scripts/test adds its own.
package_lists=(packages.txt)

# The names in those files whose packages are not installed.
missing_packages() {
  local name
  while read -r name _; do
    [[ -z $name || $name == \#* ]] && continue
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true) == installed ]] || echo "$name"
  done < <(cd "$root/scripts" && cat "${package_lists[@]}")
}

# ensure_packages yes|no: installs what is missing, or (no) lists it and fails.
ensure_packages() {
  local install=$1 missing
  command -v dpkg-query >/dev/null ||
    fail "this is not a Debian system; install the equivalents of scripts/packages.txt, then build with cmake --preset release"
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    say "packages: all installed"
    return
  fi
  local as_root=()
  if ((EUID != 0)); then
    if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
    if [[ $install == yes ]] && ! command -v sudo >/dev/null; then
      printf 'error: neither root nor sudo, and these packages are missing:\n' >&2
      printf '  %s\n' "${missing[@]}" >&2
      exit 1
    fi
  fi
  if [[ $install == no ]]; then
    printf 'missing packages:\n' >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
  fi
  say "packages: installing ${missing[*]}"
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0)
  if ! "${get[@]}" update || ! "${get[@]}" install -y --no-install-recommends "${missing[@]}"; then
    printf 'error: apt-get failed; these packages are missing:\n' >&2
    missing_packages | sed 's/^/  /' >&2
    exit 1
  fi
}

# Compile jobs: one per core, but a template-heavy translation unit can take 1.5 GB.
build_jobs() {
  local cores available limit jobs
  cores=$(nproc)
  available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1048576 < available)); then available=$((limit / 1048576)); fi
  jobs=$((available / 1500))
  ((jobs > cores)) && jobs=$cores
  ((jobs < 1)) && jobs=1
  echo "$jobs"
}

# build_release [target...]: configures the release preset with the definitions in `configure_flags` and builds it.
configure_flags=()
build_release() {
  local jobs
  jobs=$(build_jobs)
  if [[ -z ${CMAKE_CXX_COMPILER_LAUNCHER:-} ]] && command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache
  fi
  say "build: Release, $jobs jobs"
  (cd "$root" && cmake --preset release "${configure_flags[@]}" && cmake --build --preset release -j "$jobs" ${1:+--target "$@"})
}

# Writes scikit-learn's digits where the configs expect them.
export_digits() {
  say "data: $digits_file"
  mkdir -p "$(dirname "$root/$digits_file")"
  "$python" "$root/scripts/export_digits.py" "$root/$digits_file"
}
