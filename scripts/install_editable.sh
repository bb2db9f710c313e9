#!/usr/bin/env bash
# Installs this package editable, with extras and what else is named: scripts/install_editable.sh .venv/bin/python ".[tests]" ...
#
# setuptools would write its notes (sb3_rpd.egg-info) into the tree, where Python looks for metadata before it looks into the
# virtual environment. Here they go to a folder of their own, so that nobody who runs at the same time reads half of them.
set -euo pipefail

notes=$(mktemp -d)
trap 'rm -rf "$notes"' EXIT
printf '[egg_info]\negg_base = %s\n' "$notes" >"$notes/setup.cfg"
DIST_EXTRA_CONFIG=$notes/setup.cfg "$1" -m pip --disable-pip-version-check install --editable "${@:2}"
