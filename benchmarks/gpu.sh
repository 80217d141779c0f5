#!/usr/bin/env bash
# Run the benchmarks that use a GPU, in under 8 minutes: benchmarks/gpu.sh [small]
#
# This needs torch 2.11 or newer, numpy, pandas, scikit-image and rich, and no network. First it compares the CUDA
# kernels with plain formulas. Without a GPU it measures the CPU (use `small` there). The records are written to
# benchmarks/records. On a machine that has a copy of the files without .git, name the commit for the records; make
# the value in the repository with: git describe --always --abbrev=12 --dirty=+ --exclude='*'
#   BENCHMARK_COMMIT=<value> benchmarks/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export KINETO_LOG_LEVEL=5 # without it, torch's profiler prints many messages
python=${PYTHON:-python3}
options=(--rounds 5)
[ "${1:-}" = small ] && options+=(--small)
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  PYTHONPATH=. "$python" tests/training/triton_kernel.py
fi
for name in training loss inference targets; do
  "$python" -m benchmarks.$name "${options[@]}"
done
echo "the records are in benchmarks/records"
