# Sourced by the other scripts: say what is being done, and how long it took.

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

say() { printf '\033[2m::\033[0m %s\n' "$*"; }
[[ -t 1 ]] || say() { printf ':: %s\n' "$*"; }

fail() { # sentences
    printf 'error: %s\n' "$@" >&2
    exit 1
}

show_log_and_fail() { # what failed
    cat "$LOG" >&2
    fail "this did not work, see above: $*"
}

step() { # what to say, command...
    local what=$1 start=$SECONDS status=0
    shift
    say "$what"
    "$@" || status=$?
    if ((status)); then
        say "$what: failed after $((SECONDS - start)) s"
    elif ((SECONDS - start > 1)); then
        say "$what: done in $((SECONDS - start)) s"
    fi
    return "$status"
}

quietly() { # command...: its output only if it fails; a sign of life every 30 s
    local start=$SECONDS next=30 pid status=0
    "$@" >"$LOG" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS - start >= next)); then
            say "  still at it after $((SECONDS - start)) s"
            ((next += 30))
        fi
    done
    wait "$pid" || status=$?
    ((status == 0)) || cat "$LOG" >&2
    return "$status"
}
