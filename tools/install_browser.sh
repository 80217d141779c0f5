#!/usr/bin/env bash
# Install Debian's Chromium without a window; needs root and apt-get.
set -euo pipefail
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: install Chromium yourself, for example with: sudo apt-get install chromium-headless-shell"
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium-headless-shell >/dev/null
