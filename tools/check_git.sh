#!/bin/sh
# Check that this folder is a git repository, which DVC needs. `make repro` does this before it installs gigabytes.
command -v git > /dev/null || { echo "error: git is missing; install it" >&2; exit 2; }
git rev-parse --git-dir > /dev/null 2>&1 && exit 0
if [ -e .git ]; then
  echo "error: git refuses this folder; \`git status\` says why. If the folder belongs to another user, run" \
    "\`git config --global --add safe.directory '$PWD'\`" >&2
else
  echo "error: this folder is no git repository; get the project with \`git clone\`, or run" \
    "\`git init && git add --all && git commit -m import\` in this folder" >&2
fi
exit 2
