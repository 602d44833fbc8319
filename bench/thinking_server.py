"""A llama.cpp server whose small model thinks: `python -m bench.thinking_server PORT GGUF`.

SmolLM2-135M-Instruct was never taught to think. A chat template that opens `<think>` makes it begin its answer inside a
thought, as QwQ's template does, and what it writes there it seldom brings to an end by itself.
"""

from __future__ import annotations

import sys
import time
from typing import Final

TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
SLOTS: Final = 4
"""Requests that it works on at a time."""


def serve(port: int, gguf: str) -> None:
    """Serve until the process is ended. One thread is fastest for a model of this size."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = 2_048 * SLOTS
    params.n_parallel = SLOTS
    params.cpuparams.n_threads = 1
    params.n_gpu_layers = 0
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.use_jinja = True
    params.chat_template = TEMPLATE
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    while server:
        time.sleep(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
