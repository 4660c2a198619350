# Sourced by ./invoke and ./nox: makes .venv from requirements/tools.txt when it is missing or stale.
# Everything is pinned by hash; which index serves it is the machine's business (pip's and uv's own settings).

unset PYTHONDONTWRITEBYTECODE # compiled modules make every later start faster by seconds

find_python() {
    for candidate in "${SLIPWAY_PYTHON:-}" python3.11 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Slipway needs Python 3.11 on PATH (or its path in SLIPWAY_PYTHON)." >&2
    exit 2
}

install_tools() {
    root=$1
    wanted=$(cat "$root/requirements/bootstrap.txt" "$root/requirements/tools.txt" | cksum)
    installed() { [ "$(cat "$root/.venv/.installed" 2>/dev/null)" = "$wanted" ]; }
    if installed; then
        return
    fi
    python=$(find_python) || exit 2
    # Two commands at once set it up once: the second waits for the first, unless that one is gone.
    lock="$root/.venv.lock"
    until mkdir "$lock" 2>/dev/null; do
        if ! kill -0 "$(cat "$lock/pid" 2>/dev/null || echo $$)" 2>/dev/null; then
            rm -rf "$lock"
        fi
        sleep 1
        if installed; then
            return
        fi
    done
    echo $$ >"$lock/pid"
    trap 'rm -rf "$lock"' EXIT INT TERM
    echo "Setting up .venv from requirements/tools.txt ..." >&2
    rm -rf "$root/.venv"
    "$python" -m venv "$root/.venv"
    log="$root/.venv/install.log"
    if ! {
        "$root/.venv/bin/pip" install --disable-pip-version-check --require-hashes -r "$root/requirements/bootstrap.txt" &&
            "$root/.venv/bin/uv" pip install --python "$root/.venv/bin/python" --require-hashes -r "$root/requirements/tools.txt"
    } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "The tools could not be installed; the whole log is in $log. Run the same command again to retry." >&2
        exit 2
    fi
    echo "$wanted" >"$root/.venv/.installed"
    rm -rf "$lock"
    trap - EXIT INT TERM
}
