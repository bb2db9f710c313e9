#!/usr/bin/env bash
# Copies all that belongs to the project, and nothing that was built or installed here: scripts/copy_sources.sh FOLDER
#
# Packages are built from such a copy: the building writes into it, and takes along what lies about in it.
set -euo pipefail

mkdir -p "$1"
to=$(realpath "$1")
cd "$(dirname "$0")/.."
find . \( -name .git -o -name '.venv*' -o -name '*.egg-info' -o -name '.*_cache' -o -name __pycache__ -o -name .hypothesis \
    -o -path ./build -o -path ./dist -o -path ./runs -o -path ./docs/_build \) -prune \
    -o -type f -print0 | xargs -0 cp --parents --target-directory="$to"
