#!/bin/sh
# Make a Python environment and install this package into it.
#   sh tools/environment.sh .venv ".[test,dev]"
# Running it again is harmless. Says what to install where the machine lacks something.
set -eu

folder=$1
what=$2

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is needed. On Debian or Ubuntu: apt-get install python3 python3-venv" >&2
    exit 1
}

if ! new_enough "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python cannot make environments. On Debian or Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
    echo "Making the environment $folder with $("$python" --version) ..."
    rm -rf "$folder"
    "$python" -m venv "$folder"
fi

echo "Installing $what into $folder (the first time takes about a minute) ..."
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$what"
