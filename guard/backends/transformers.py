"""A Hugging Face causal language model in this process.

    request ──read, 400──► slot, 429 ──► model loaded? wait ──► prompt, 400 ──► [queue] ──► the one model thread
                                                                                               │ token by token
    events ◄── Outbox ◄──────────────────────────── Answer ◄──────────────────────────────────┘

One thread loads the model and runs one generation after the other. A stopping criterion sees every token first: it
makes the events, and it ends the generation at a stop string or once nobody wants the text any more.

The file is long because everything of the backend that needs torch is here, and nothing of it anywhere else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from guard.backends.answer import Answer
from guard.backends.base import Capabilities, ModelRequest, ModelStream, Script, UpstreamError
from guard.backends.decoding import CycleBreaker, ScriptBan, vocabulary, written_in
from guard.backends.kv_cache import Memory
from guard.backends.logits import Banned, processors
from guard.backends.outbox import Outbox
from guard.backends.sampling import asked, continued, read_sampling
from guard.backends.tokenized import Prompt, Tokenized
from guard.events import ChoiceOpened, Event, Usage, UsageReported
from guard.wire.think import ThinkStart, start_state

Progress = Callable[[str, float | None], None]
"""Told a sentence and, where it is known, the fraction that is done; called from the model's thread."""
Source = str | Path | Callable[[Progress], Path]
"""A hub id, a local folder, or what finds one (and may take its time) when the model is loaded."""

DEFAULT_CONTEXT: Final = 4_096
"""Tokens, for a model whose configuration does not say."""
RECOMMENDED: Final = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
SMALL_MODEL: Final = 1_000_000_000
"""Parameters below which more than one CPU thread costs more than it brings on a small machine."""


class TransformersBackend:
    """Serves one model, one generation at a time; `queue_limit` more requests may wait, the next is answered 429.

    `source` is a hub id (only then is a hub asked, and only while loading), a local folder, or a function that gives
    one. `model_name` is what clients see. `think_start` says where outputs begin; by default the model's name and its
    chat template tell. `max_tokens` is for requests that set none. `threads` is the number of CPU threads; by default
    1 for a small model, else torch's own choice. The model is loaded by `start` or by the first request.
    """

    def __init__(
        self,
        source: Source,
        *,
        name: str = "transformers",
        model_name: str = "",
        queue_limit: int = 8,
        max_tokens: int = 2_048,
        context_length: int | None = None,
        think_start: ThinkStart | None = None,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        if not model_name:
            model_name = source if isinstance(source, str) else source.name if isinstance(source, Path) else name
        self.name = name
        self.model_name = model_name
        self.capabilities = Capabilities(repairs=frozenset({"conclude", "resample"}))
        self._source = source
        self._limit = queue_limit + 1
        self._max_tokens = max_tokens
        self._context_length = context_length
        self._think_start = start_state(model_name) if think_start is None else think_start
        self._device = device
        self._dtype = dtype
        self._threads = threads
        self._trust_remote_code = trust_remote_code
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"model-{name}")
        self._lock = threading.Lock()
        self._loading: Future[_Loaded] | None = None
        self._running: set[_Generation] = set()
        self._taken = 0
        self._closed = False

    @property
    def ready(self) -> bool:
        """True once the model is loaded, until `aclose`."""
        loading = self._loading
        return (
            not self._closed
            and loading is not None
            and loading.done()
            and not loading.cancelled()
            and (loading.exception() is None)
        )

    async def start(self, progress: Progress | None = None) -> None:
        """Load the model; returns when it is ready. After a failure, tries again. Raises `UpstreamError`."""
        with self._lock:
            if self._loading is not None and self._loading.done() and not self.ready:
                self._loading = None
        await self._model(progress)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        """See `Backend.stream`. Raises `UpstreamError`: 400 for what the model cannot do, 429 if the queue is full,
        503 if it could not be loaded."""
        request = continued(request)
        read_sampling(request, {})
        self._take_slot()
        generation: _Generation | None = None
        submitted: Future[None] | None = None
        try:
            loaded = await self._model()
            sampling = read_sampling(request, loaded.recommended)
            prompt = await asyncio.to_thread(
                loaded.tokenized.prompt, request, sampling, self._think_start, self._max_tokens
            )
            generation = _Generation(loaded, prompt, Outbox(), request)
            with self._lock:
                if self._closed:
                    raise _shut_down()
                self._running.add(generation)
                submitted = self._thread.submit(generation.run)
            submitted.add_done_callback(self._free_slot)  # takes the lock, at once if the job is done by now
            yield ModelStream(self.name, generation.events(), reasoning_field="reasoning_content")
        finally:
            if generation is not None:
                generation.cancel()
                self._running.discard(generation)
            if submitted is None:
                self._free_slot()
            else:
                submitted.cancel()

    async def models(self) -> Sequence[str]:
        return (self.model_name,)

    async def aclose(self) -> None:
        """End the thread, after the token or the loading it is at; what is running or waiting ends with an error."""
        with self._lock:
            self._closed = True
            running = tuple(self._running)
        for generation in running:
            generation.cancel(_shut_down())
        self._thread.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._thread.shutdown)
        self._loading = None

    def _take_slot(self) -> None:
        with self._lock:
            if self._closed:
                raise _shut_down()
            if self._taken >= self._limit:
                waiting = self._limit - 1
                raise UpstreamError(
                    f"The in-process model is busy and {waiting} requests are waiting; try again later.",
                    code="queue_full",
                    status=429,
                    retry_after="1",
                )
            self._taken += 1

    def _free_slot(self, _future: Future[None] | None = None) -> None:
        with self._lock:
            self._taken -= 1

    async def _model(self, progress: Progress | None = None) -> _Loaded:
        with self._lock:
            if self._closed:
                raise _shut_down()
            if self._loading is None:
                self._loading = self._thread.submit(self._load, progress or (lambda _sentence, _fraction: None))
            loading = self._loading
        try:
            return await asyncio.shield(asyncio.wrap_future(loading))
        except asyncio.CancelledError:
            if loading.cancelled():
                raise _shut_down() from None
            raise

    # --- in the model's thread

    def _load(self, progress: Progress) -> _Loaded:
        try:
            return self._load_from(self._source(progress) if callable(self._source) else self._source, progress)
        except UpstreamError:
            raise
        except Exception as error:  # whatever a hub, a file or remote code does, the operator reads one sentence
            what = str(error).strip().partition("\n")[0][:300]
            raise UpstreamError(
                f"The model {self.model_name} could not be loaded: {type(error).__name__}: {what}",
                code="model_unavailable",
                status=503,
            ) from error

    def _load_from(self, source: str | Path, progress: Progress) -> _Loaded:
        folder = Path(source).expanduser()
        local = folder.is_dir()
        if not local and (isinstance(source, Path) or source.startswith(("/", "./", "../", "~"))):
            raise FileNotFoundError(f"there is no folder {folder}")
        progress(f"loading the model {self.model_name}", None)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        place = str(folder) if local else str(source)
        options = {"local_files_only": local, "trust_remote_code": self._trust_remote_code}
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **options)
        device = self._device if self._device != "auto" else "auto" if torch.cuda.is_available() else "cpu"
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place, dtype=self._dtype, device_map=device, **options
        ).eval()
        threads = self._threads or (1 if model.num_parameters() < SMALL_MODEL else None)
        if threads is not None:
            torch.set_num_threads(threads)
        return _Loaded(tokenizer, model, self._context_length)


def _shut_down() -> UpstreamError:
    return UpstreamError("The in-process model has been shut down.", code="shut_down", status=503)


class _Loaded:
    """A model with its tokenizer, and what the model says about how it is to be used."""

    def __init__(self, tokenizer: Any, model: Any, context_length: int | None) -> None:
        own = model.generation_config
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.model = model
        self.memory = Memory(lambda: transformers.DynamicCache(config=model.config))
        self._tokenizer = tokenizer
        self._bans: dict[frozenset[Script], ScriptBan] = {}
        self.ends = frozenset(end for end in (*ends, tokenizer.eos_token_id) if end is not None)
        self.tokenized = Tokenized(tokenizer, context_length or positions or DEFAULT_CONTEXT)
        self.recommended = {name: value for name in RECOMMENDED if (value := getattr(own, name, None)) is not None}
        # What a request leaves open must not be filled in behind its back.
        model.generation_config = transformers.GenerationConfig(
            bos_token_id=own.bos_token_id,
            eos_token_id=sorted(self.ends) or None,
            pad_token_id=next(iter(sorted(self.ends)), 0) if own.pad_token_id is None else own.pad_token_id,
        )

    def ban(self, scripts: frozenset[Script]) -> ScriptBan:
        """Worked out once for each set of scripts that a policy names."""
        if scripts not in self._bans:
            self._bans[scripts] = ScriptBan(vocabulary(self._tokenizer), scripts)
        return self._bans[scripts].fresh()


class _Generation:
    """One request in the model's thread: all its choices, one after the other."""

    def __init__(self, loaded: _Loaded, prompt: Prompt, outbox: Outbox, request: ModelRequest) -> None:
        self._loaded = loaded
        self._prompt = prompt
        self._outbox = outbox
        self._request = request
        self._generated = 0
        self._cached = 0
        self.cancelled = False

    def cancel(self, error: UpstreamError | None = None) -> None:
        """Nobody wants the rest: the model stops at its next token, or does not begin."""
        self.cancelled = True
        self._outbox.close(error)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Batches of events, each with the usage so far at its end."""
        async for batch in self._outbox.batches():
            usage = Usage(len(self._prompt.ids), self._generated, cached_tokens=self._cached or None)
            yield (*batch, UsageReported(usage))

    def run(self) -> None:
        """Never raises: what goes wrong reaches the consumer as `UpstreamError`."""
        try:
            for choice in range(self._prompt.sampling.choices):
                if not self.cancelled:
                    self._choice(choice)
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a model does
            self._outbox.close(
                UpstreamError(
                    f"The in-process model failed while it was generating ({type(error).__name__}).",
                    code="generation_failed",
                )
            )
        else:
            self._outbox.close()

    def _choice(self, choice: int) -> None:
        sampling, model = self._prompt.sampling, self._loaded.model
        answer = Answer(
            choice, self._loaded.tokenized.decode, stops=sampling.stop, ends=self._loaded.ends, start=self._prompt.start
        )
        self._outbox.put(ChoiceOpened(choice))
        ids = torch.tensor([self._prompt.ids], device=model.device)
        written = list(self._prompt.ids)
        answer_id = self._request.request_id if self._request.continuation else ""
        cache, self._cached = self._loaded.memory.recall(answer_id, written)

        def next_token(sequences: Any, _scores: Any, **_options: Any) -> Any:
            """The stopping criterion: called with everything so far after each new token."""
            token = int(sequences[0, -1])
            written.append(token)
            events = answer.token(token)
            self._generated += 1
            self._outbox.put(*events)
            return torch.tensor([answer.over or self.cancelled], device=sequences.device)

        with torch.inference_mode():
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=sampling.max_tokens,
                do_sample=False,  # the last processor draws, with this request's own generator
                logits_processor=processors(sampling, choice, ids, self._bans()),
                stopping_criteria=[next_token],
                past_key_values=cache,
            )
        if not self.cancelled:
            self._outbox.put(*answer.finish())
        elif sampling.choices == 1:
            self._loaded.memory.keep(self._request.request_id, written, cache)

    def _bans(self) -> list[Banned]:
        decoding, size = self._request.decoding, len(self._prompt.ids)
        bans: list[Banned] = []
        scripts = decoding.ban_scripts - written_in(asked(self._request)) if decoding else None
        if scripts:
            ban = self._loaded.ban(scripts)
            bans.append(Banned(size, ban, ban.always))
        if decoding is not None and decoding.break_cycles:
            bans.append(Banned(size, CycleBreaker()))
        return bans
