#!/usr/bin/env bash
# The benchmarks that concern a GPU, in under 8 minutes: benchmarks/gpu.sh [small]
# Needs torch 2.11 or newer, numpy, pandas, scikit-image and rich, and no network; without a GPU it runs on the CPU
# (give it `small` there). The CUDA kernels are compared with plain formulas first.
set -euo pipefail
cd "$(dirname "$0")/.."
export KINETO_LOG_LEVEL=5 # torch's profiler is talkative
python=${PYTHON:-python3}
options=(--rounds 5)
[ "${1:-}" = small ] && options+=(--small)
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  PYTHONPATH=. "$python" tests/training/triton_kernel.py
fi
for name in training loss inference targets; do
  "$python" -m benchmarks.$name "${options[@]}"
done
