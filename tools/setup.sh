#!/bin/sh
# Makes .venv with everything that requirements/dev.txt names, and this package itself, editable. Safe to repeat.
# Needs python3 >= 3.11 and either its pip or its ensurepip. PYTHON chooses another interpreter.
set -eu
cd "$(dirname "$0")/.."

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        if is_recent "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "setup: no Python 3.11 or newer found." >&2
    echo "       Debian, Ubuntu: apt-get install python3 python3-venv. Or: make setup PYTHON=/path/to/python3" >&2
    return 1
}

python=$(find_python)
venv=.venv/bin/python

# A venv needs no ensurepip when the system's pip (22.3 or newer) can install into it from outside.
if "$python" -m pip --python "$python" --version >/dev/null 2>&1; then
    is_recent "$venv" || "$python" -m venv --clear --without-pip .venv
    pip() { "$python" -m pip --python "$venv" --disable-pip-version-check "$@"; }
elif "$python" -c 'import ensurepip' 2>/dev/null || "$venv" -m pip --version >/dev/null 2>&1; then
    "$venv" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
    pip() { "$venv" -m pip --disable-pip-version-check "$@"; }
else
    echo "setup: $python has neither pip nor ensurepip, so nothing can be installed." >&2
    echo "       Debian, Ubuntu: apt-get install python3-venv. Elsewhere: $python -m pip must work." >&2
    exit 1
fi

echo "setup: installing requirements/dev.txt into .venv ($("$venv" --version))"
pip install -qq --require-hashes --no-deps -r requirements/dev.txt
pip install -qq --no-deps --no-build-isolation --editable .
touch .venv/.set-up
echo "setup: done"
