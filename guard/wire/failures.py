"""What upstreams say when they fail, in all their spellings, and what the guard makes of it.

Before an answer, a refused request keeps upstream's explanation: it speaks of the request. Inside an answer it does
not, because such text can quote the model; the client then gets the guard's own sentence and a stable code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from guard.events import UpstreamFailed
from guard.wire.errors import UpstreamError
from guard.wire.jsontext import parse_object

LONGEST_MESSAGE: Final = 1_000
"""Of an upstream's own explanation, in code points."""

SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "context_length_exceeded": "The model server reported that the conversation is longer than its context.",
        "rate_limit": "The model server reported that its rate limit or quota is used up.",
        "server_overloaded": "The model server reported that it is overloaded or still loading.",
        "content_filter": "The model server reported that its own content filter stopped the answer.",
        "authentication": "The model server reported that it does not accept the credentials.",
        "model_not_found": "The model server reported that it does not have this model.",
        "invalid_request": "The model server reported that it cannot serve this request.",
        "server_error": "The model server reported an error of its own.",
        "upstream_aborted": "The model server broke off the answer.",
    }
)
"""Every code that an `UpstreamFailed` of `wire` carries, and the sentence that goes with it."""

# Tried in order on "code type status", lower-cased. Only the length of the context is looked for in the explanation.
_BY_WORD: Final = (
    ("context_length_exceeded", re.compile(r"context_length|exceed_context|context_window|string_above_max")),
    ("rate_limit", re.compile(r"\b429\b|rate_?limit|quota|throttling|too_?many_?requests")),
    ("server_overloaded", re.compile(r"\b50[34]\b|\b529\b|overload|unavailable")),
    ("content_filter", re.compile(r"content_?filter|data_?inspection|content_policy")),
    ("authentication", re.compile(r"\b40[13]\b|authentication|permission|api_?key|access_?denied|unauthorized")),
    ("model_not_found", re.compile(r"\b404\b|not_?found")),
    ("invalid_request", re.compile(r"\b4(?:00|13|22)\b|bad_?request|invalid|validation")),
)
_TOO_LONG: Final = re.compile(
    r"(?:maximum|max|exceeds?|available|longer than)\b.{0,80}\bcontext (?:length|size|window)"
    r"|context (?:length|size|window)\b.{0,40}\b(?:exceeded|exceeds)"
)


def failed(code: str) -> UpstreamFailed:
    """The event for one of the codes of `SENTENCES`."""
    return UpstreamFailed(code, SENTENCES[code])


def find_failure(body: Mapping[str, Any], *, named: bool = False) -> UpstreamFailed | None:
    """The failure that an event or body reports, if it does. `named` says that the event itself was called `error`.

    Knows the nested `error` object (OpenAI, vLLM, SGLang, llama.cpp, TGI, OpenRouter), `{"error": "text"}` (Ollama),
    `{"object": "error", …}` (older vLLM), `{"type": "error", …}` (Responses), `{"code", "message"}` (DashScope) and
    `{"detail": …}` (FastAPI).
    """
    error = body.get("error")
    if not (
        error
        or named
        or body.get("object") == "error"
        or body.get("type") == "error"
        or ("choices" not in body and (body.get("detail") or ("code" in body and body.get("message"))))
    ):
        return None
    return failed(_code(body))


def _code(body: Mapping[str, Any]) -> str:
    error = body.get("error")
    inner = error if isinstance(error, dict) else body
    named = [inner.get(key) for key in ("code", "type", "error_type", "status", "http_status_code")]
    words = " ".join(str(word)[:100] for word in named if isinstance(word, str | int)).lower()
    explanation = (_explanation(body) or "")[:LONGEST_MESSAGE].lower()
    if _TOO_LONG.search(explanation):
        return "context_length_exceeded"
    return next((code for code, pattern in _BY_WORD if pattern.search(words)), "server_error")


def _explanation(body: Mapping[str, Any]) -> str | None:
    """Upstream's own words, wherever it puts them."""
    error = body.get("error")
    inner = error if isinstance(error, dict) else body
    for text in (error, inner.get("message"), inner.get("detail")):
        if isinstance(text, str) and text.strip():
            return text
        if isinstance(text, list):  # FastAPI's list of validation problems
            problems = [item for item in text if isinstance(item, dict) and isinstance(item.get("msg"), str)]
            if problems:
                return "; ".join(f"{_place(problem.get('loc'))}: {problem['msg']}" for problem in problems)
    return None


def _place(loc: Any) -> str:
    return ".".join(str(part) for part in loc) if isinstance(loc, list) else "body"


_PASSED: Final = frozenset({400, 404, 413, 422, 429, 503})
_CODE_OF_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "invalid_request",
        401: "authentication",
        403: "authentication",
        404: "model_not_found",
        413: "invalid_request",
        422: "invalid_request",
        429: "rate_limit",
        503: "server_overloaded",
    }
)


def upstream_refusal(
    status: int, body: bytes, content_type: str = "", *, retry_after: str | None = None, pass_through: bool = False
) -> UpstreamError:
    """The error for an answer that is not the stream asked for, before any generation.

    `pass_through` says that the credentials were the client's own: a 401 or 403 is then theirs to see; else it is the
    operator's problem and the client sees a 502. `retry_after` is upstream's header; it is kept with 429 and 503.
    """
    refused = 400 <= status < 500
    credentials = status in (401, 403)
    own_words = refused and (pass_through or not credentials)
    code, explanation, kind = _read_refusal(status, body, content_type)
    if credentials and not pass_through:
        message = (
            f"The model server did not accept the guard's credentials ({status}); "
            "the operator should check the upstream API key."
        )
    elif own_words and explanation:
        message = explanation
    elif explanation:
        message = f"The model server answered {status}. {SENTENCES[code]}"
    else:
        message = f"The model server answered {status} with {kind}; is the upstream URL right?"
    passed = status in _PASSED or (pass_through and credentials)
    return UpstreamError(
        message,
        code=code,
        status=status if passed else 502,
        retry=status == 429 or not refused,
        retry_after=retry_after if status in (429, 503) else None,
    )


def _read_refusal(status: int, body: bytes, content_type: str) -> tuple[str, str | None, str]:
    """A code, upstream's explanation if there is one, else in a few words what came."""
    code = _CODE_OF_STATUS.get(status, "server_error")
    if not body.strip():
        return code, None, "an empty body"
    try:
        parsed = parse_object(body)
    except UpstreamError:
        html = "html" in content_type.lower() or body.lstrip()[:1] == b"<"
        return code, None, "an HTML page" if html else "a body that is no JSON object"
    found = _code(parsed)
    words = _explanation(parsed)
    shown = _printable(words[: 4 * LONGEST_MESSAGE])[:LONGEST_MESSAGE] if words else ""
    if shown == "Not Found":  # Starlette's word for a path it does not know, not for a model
        return code, None, 'the words "Not Found"'
    # The status is the better witness, but for a reason that no status expresses.
    special = found in ("context_length_exceeded", "content_filter") or status not in _CODE_OF_STATUS
    return found if special else code, shown or None, "JSON that is not an error we know"


def _printable(text: str) -> str:
    """`text` on one line without control and format characters."""
    return "".join(char for char in " ".join(text.split()) if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))
