#!/bin/sh
# Make .venv with every member of the workspace, editable, and the development tools; twice is as good as once.
set -eu
cd "$(dirname "$0")/.."

if command -v uv >/dev/null 2>&1; then
    [ -x .venv/bin/python ] || uv venv --quiet --seed --python '>=3.11' .venv
else
    PYTHON="${PYTHON:-python3}"
    command -v "$PYTHON" >/dev/null 2>&1 || { echo "setup: $PYTHON is not installed; Python 3.11 or newer is needed" >&2; exit 2; }
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: $("$PYTHON" --version) is too old; Python 3.11 or newer is needed (make PYTHON=python3.12 setup)" >&2; exit 2; }
    "$PYTHON" -c 'import ensurepip' 2>/dev/null || { echo "setup: $PYTHON has no ensurepip; install it (Debian: apt-get install python3-venv)" >&2; exit 2; }
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
fi

echo "setup: installing the workspace into .venv (a minute the first time) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'pip>=25.1'
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable "shared[tracing]" --editable services/predictor --editable services/transformer --editable cli --group dev
touch .venv/installed
echo "setup: done"
