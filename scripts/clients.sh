#!/usr/bin/env bash
# Make .venv/clients, an environment of their own for the client libraries whose snippets docs/integrations.md shows:
# they want other versions of the OpenAI client than the project does. Without a network the tests that run the snippets
# skip, with the reason; nothing else needs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/steps.sh

FOLDER=.venv/clients
PACKAGES=(
    'langchain-deepseek>=1.1,<2'
    'langchain-openai>=1.1,<2'
    'litellm>=1.80,<2'
    'llama-index-llms-openai-like>=0.5,<1'
)
WANT="${PACKAGES[*]}"

if [[ -f $FOLDER/.stamp && $(<"$FOLDER/.stamp") == "$WANT" ]]; then
    exit 0
fi

install_clients() {
    .venv/bin/python -m venv --clear --without-pip "$FOLDER" \
        && .venv/bin/python -m pip --python "$FOLDER/bin/python" --disable-pip-version-check --no-input \
            install --quiet --progress-bar off --no-compile "${PACKAGES[@]}"
}

if step "Installing LangChain, LlamaIndex and LiteLLM (about 420 MB, for tests only)" quietly install_clients; then
    printf '%s' "$WANT" >"$FOLDER/.stamp"
else
    say "LangChain, LlamaIndex and LiteLLM could not be installed; the tests that want them are skipped"
fi
