#!/usr/bin/env bash
# The committed results must belong to the committed code and parameters: dvc.lock is up to date, without any data here.
set -euo pipefail
cd "$(dirname "$0")/.."
[ ! -x .venv/bin/dvc ] || PATH="$PWD/.venv/bin:$PATH"

cmp --silent params.yaml profiles/sample.yaml || {
    echo "error: params.yaml differs from profiles/sample.yaml; copy one over the other"
    exit 1
}
# exits 0 with "Running stage" when only results are missing, hence the look at what it says
said=$(dvc repro --dry --allow-missing --keep-going 2>&1) || { echo "$said"; exit 1; }
if ! grep -q "up to date" <<<"$said"; then
    grep "Running stage" <<<"$said" || echo "$said"
    echo "error: dvc.lock is out of date; run \`make repro\` and commit what changed"
    exit 1
fi
python tools/update_readme.py --check
echo "dvc.lock is up to date"
