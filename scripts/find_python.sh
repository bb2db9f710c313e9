#!/usr/bin/env bash
# Prints the command of a Python of the release that is asked for, from the PATH or from pyenv, or the second argument where
# there is none: scripts/find_python.sh 3.12 python3
set -euo pipefail

for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    # Run it: a shim of pyenv is on the PATH for releases that are not switched on, too
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
echo "There is no Python $1 here, so this runs on $2." >&2
echo "$2"
