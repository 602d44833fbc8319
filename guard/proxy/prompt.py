"""Every text of a request that a model may come to read: found, and put back as its review let it through.

What is known to be structure (ids, kinds, knobs, media) is left out. Every other string is text, whatever field it
stands in, so that a field nobody has heard of is no way past the review. Names of JSON properties are not reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from guard.policy.schema import PromptSettings
from guard.wire.errors import RequestError

Path = tuple[str | int, ...]

KNOBS: Final = frozenset(
    {
        "encoding_format",
        "modalities",
        "model",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "stop",
        "tool_choice",
        "user",
        "verbosity",
    }
)
"""Fields of the request that steer the server and are not shown to the model."""
STRUCTURE: Final = frozenset({"id", "tool_call_id", "type", "$ref", "$schema"})
"""Keys, at any depth, whose strings say what a thing is, as long as they are one word."""
_WORD: Final = re.compile(r"[\w.:/#$-]{1,128}", re.ASCII)
ROLES: Final = frozenset({"assistant", "developer", "function", "system", "tool", "user"})
"""Any other role is text: templates write it into the prompt as it is."""
MEDIA: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "image": ("image", frozenset({"image"})),
    "image_url": ("image", frozenset({"image_url"})),
    "input_image": ("image", frozenset({"image_url", "file_id"})),
    "audio_url": ("audio", frozenset({"audio_url"})),
    "input_audio": ("audio", frozenset({"input_audio"})),
    "video": ("video", frozenset({"video"})),
    "video_url": ("video", frozenset({"video_url"})),
    "file": ("file", frozenset({"file"})),
    "input_file": ("file", frozenset({"file_data", "file_id", "file_url"})),
}
"""Kinds of message parts that carry no text: what the policy calls them, and the keys that hold what they carry."""


def reviewed_texts(body: Mapping[str, Any]) -> list[str]:
    """The texts of a request, those of its messages first."""
    return [text for _, text in _walk(body)]


def with_texts(body: Mapping[str, Any], texts: Sequence[str]) -> Mapping[str, Any]:
    """`body` with its texts replaced, in the order of `reviewed_texts`. `body` itself is left as it is."""
    changed: Any = body
    for (path, old), new in zip(_walk(body), texts, strict=True):
        if new != old:
            changed = _put(changed, path, new)
    return changed  # type: ignore[no-any-return]


def check_media(body: Mapping[str, Any], settings: PromptSettings) -> None:
    """Raise `RequestError` for the first part that the policy refuses, because nobody can review it."""
    for index, message in enumerate(body.get("messages") or ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for place, part in enumerate(content if isinstance(content, list) else ()):
            kind, _ = MEDIA.get(str(part.get("type")), ("", None))
            if kind and getattr(settings, kind) == "refuse":
                raise RequestError(
                    f"`messages[{index}].content[{place}]` is of type `{part['type']}`, which cannot be reviewed "
                    "and is refused by the policy here; send text.",
                    code="not_reviewable",
                    param="messages",
                )


def _walk(body: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    first = [key for key in ("messages", "prompt", "input") if key in body]
    for key in [*first, *(key for key in body if key not in first)]:
        if key not in KNOBS:
            yield from _strings(body[key], (key,))


def _strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        if value:
            yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))
    elif isinstance(value, dict):
        kind = value.get("type")
        media = MEDIA[kind][1] if isinstance(kind, str) and kind in MEDIA else frozenset()
        for key, item in value.items():
            if key not in media and not _is_structure(key, item):
                yield from _strings(item, (*path, key))


def _is_structure(key: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value in ROLES if key == "role" else key in STRUCTURE and _WORD.fullmatch(value) is not None


def _put(value: Any, path: Path, text: str) -> Any:
    if not path:
        return text
    step, rest = path[0], path[1:]
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    copy[step] = _put(value[step], rest, text)
    return copy
