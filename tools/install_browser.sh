#!/usr/bin/env bash
# Install Debian's Chromium without a window, if there is no browser; needs root and apt-get.
set -euo pipefail
for program in chromium-headless-shell chromium google-chrome; do # those of tests/helpers/browser.py
    if command -v "$program" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: install Chromium yourself, for example with: sudo apt-get install chromium-headless-shell"
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium-headless-shell >/dev/null
