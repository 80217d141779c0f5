#!/usr/bin/env bash
# Run the benchmarks that use a GPU: benchmarks/gpu.sh [small] [step...]
#
# Without names of steps, it runs those of the first line of `limits` below, in at most 6 minutes: a step that takes
# longer than its limit is interrupted, and the next one begins. A benchmark writes each record to benchmarks/records as
# soon as it is measured, so an interruption loses only the record that is not finished. Compiled code is kept in
# .state/compiled: if a step was interrupted, a second run is faster.
#
# This needs torch 2.11 or newer, numpy, pandas, scikit-image, safetensors and rich, and no network. The regression
# also needs torchvision, the step `inference` simplejpeg and Numba, and the step `tests` pytest and the packages of the
# project. Without a GPU it measures the CPU (use `small` there). On a machine that has a copy of the files without
# .git, name the commit for the records; make the value in the repository with:
#   git describe --always --abbrev=12 --dirty=+ --exclude='*'
#   BENCHMARK_COMMIT=<value> benchmarks/gpu.sh
set -uo pipefail
cd "$(dirname "$0")/.."
export KINETO_LOG_LEVEL=5 # without it, torch's profiler prints many messages
python=${PYTHON:-python3}
declare -A limits=( # seconds
  [kernels]=25 [training]=170 [side_by_side]=95 [cell]=70
  [loss]=60 [targets]=60 [inference]=60 [batch_sizes]=120 [tests]=150
)
options=(--rounds 5)
if [ "${1:-}" = small ]; then
  options+=(--small)
  shift
fi
steps=("$@")
[ $# -gt 0 ] || steps=(kernels training side_by_side cell)

check_kernels='found=$("$0" tests/ops/kernels.py cuda) && echo "$found" && ! grep -q Traceback <<< "$found"'

command_of() { # prints the command of a step, one word per line
  case $1 in
    kernels) printf '%s\n' env PYTHONPATH=. bash -c "$check_kernels" "$python" ;;
    tests) printf '%s\n' "$python" -m pytest -q -n 0 --durations 10 tests/training/test_cuda.py ;;
    *) printf '%s\n' "$python" -m "benchmarks.$1" "${options[@]}" ;;
  esac
}

failed=()
for name in "${steps[@]}"; do
  if [ -z "${limits[$name]:-}" ]; then
    echo "error: no step $name; expected: ${!limits[*]}" >&2
    exit 2
  fi
  if [ "$name" = kernels ] && "$python" -c 'import sys, torch; sys.exit(torch.cuda.is_available())'; then
    continue # there is no GPU
  fi
  mapfile -t words < <(command_of "$name")
  started=$SECONDS
  timeout --signal INT --kill-after 10 "${limits[$name]}" "${words[@]}" || failed+=("$name ($?)")
  echo "$name: $((SECONDS - started)) s, limit ${limits[$name]} s"
done
echo "the records are in benchmarks/records"
if [ ${#failed[@]} -gt 0 ]; then
  echo "error: these steps failed, or were interrupted (exit codes 124 and 137): ${failed[*]}" >&2
  exit 1
fi
