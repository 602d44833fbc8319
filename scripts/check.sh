#!/usr/bin/env bash
# Run every check, the quick ones first, and name those that failed. With --lint only what reads code without running
# it. Further arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/steps.sh

BIN=.venv/bin
failed=()
check() { # what to say, command...
    step "$@" || failed+=("$1")
}

check "ruff check" "$BIN/ruff" check --quiet .
check "ruff format" "$BIN/ruff" format --check --quiet .
check "mypy (strict, tests too)" "$BIN/mypy"
check "lint-imports (who may import whom)" quietly "$BIN/lint-imports"

if [[ ${1:-} != --lint ]]; then
    if command -v promtool >/dev/null; then
        check "promtool check rules" quietly promtool check rules deploy/prometheus/rules.yml
        check "promtool test rules" quietly promtool test rules deploy/prometheus/rules_test.yml
    else
        say "promtool is not installed, so the alert rules go unchecked. On Debian: apt-get install prometheus"
    fi
    scripts/node.sh
    scripts/clients.sh
    # Two processes, and everything marked `real` in one of them: servers and models do not compete with each other.
    check "pytest" "$BIN/python" -m pytest --numprocesses 2 --dist loadgroup "$@"
fi

if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
say "all checks passed in $SECONDS s"
