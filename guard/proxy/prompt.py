"""Every text of a request that a model may come to read: found, and put back as its review let it through.

What is known to be structure (ids, kinds, knobs, media) is left out. Every other string is text, whatever field it
stands in, so that a field nobody has heard of is no way past the review. So are names of properties that are more than
one word: templates write the schemas of tools into the prompt as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from guard.policy.schema import PromptSettings
from guard.wire.errors import RequestError

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
WORDS: Final = frozenset({"modalities", "reasoning_effort", "service_tier", "tool_choice", "verbosity"})
"""Those of them whose strings are single words. Some templates show the model one of these: anything else is text."""
STRUCTURE: Final = frozenset({"id", "tool_call_id", "type", "$ref", "$schema"})
"""Keys, at any depth, whose strings say what a thing is, as long as they are one word."""
_WORD: Final = re.compile(r"[\w.:/#$-]{1,128}", re.ASCII)
ROLES: Final = frozenset({"assistant", "developer", "function", "system", "tool", "user"})
"""Any other role is text: templates write it into the prompt as it is."""
MEDIA: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "image": ("image", frozenset({"image"})),
    "image_url": ("image", frozenset({"image_url"})),
    "image_embeds": ("image", frozenset({"image_embeds"})),
    "image_pil": ("image", frozenset({"image_pil"})),
    "input_image": ("image", frozenset({"image_url", "file_id"})),
    "audio_embeds": ("audio", frozenset({"audio_embeds"})),
    "audio_url": ("audio", frozenset({"audio_url"})),
    "input_audio": ("audio", frozenset({"input_audio"})),
    "video": ("video", frozenset({"video"})),
    "video_url": ("video", frozenset({"video_url"})),
    "file": ("file", frozenset({"file"})),
    "input_file": ("file", frozenset({"file_data", "file_id", "file_url"})),
}
"""Kinds of message parts that carry no text: what the policy calls them, and the keys that hold what they carry. In any
other place they are text: templates write a tool's schema, whatever it holds, into the prompt."""
_KINDS: Final = {key: kind for kind, keys in MEDIA.values() for key in keys if key != "file_id"}
"""What a part holds, by its keys: some servers look at nothing else."""
MOST_TEXTS: Final = 16_384
"""That are reviewed of one request. Each has scanners of its own, some fifty microseconds and two kilobytes of them."""
_PART: Final = ("messages", "*", "content", "*")
"""Where a message's parts stand."""


def reviewed_texts(body: Mapping[str, Any]) -> list[str]:
    """The texts of a request, those of its messages first."""
    texts: list[str] = []

    def see(text: str) -> str:
        texts.append(text)
        return text

    _rebuilt(body, see)
    return texts


def check_count(texts: Sequence[str]) -> None:
    """Raise `RequestError` for more texts than are reviewed."""
    if len(texts) > MOST_TEXTS:
        says = f"The request holds {len(texts)} texts, and at most {MOST_TEXTS} are reviewed; put several into one."
        raise RequestError(says, code="not_reviewable")


def with_texts(body: Mapping[str, Any], texts: Sequence[str]) -> Mapping[str, Any]:
    """`body` with its texts replaced, in the order of `reviewed_texts`. `body` itself is left as it is. Raises
    `ValueError` if they are not as many."""
    left = iter(texts)

    def replaced(_old: str) -> str:
        new = next(left, None)
        if new is None:
            raise ValueError(f"there are more texts than the {len(texts)} given")
        return new

    changed = _rebuilt(body, replaced)
    if next(left, None) is not None:
        raise ValueError(f"there are fewer texts than the {len(texts)} given")
    return changed


def check_media(body: Mapping[str, Any], settings: PromptSettings) -> None:
    """Raise `RequestError` for the first part that the policy refuses, because nobody can review it."""
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, Mapping):
                continue
            type = str(part.get("type"))
            kinds = {MEDIA[type][0]} if type in MEDIA else set()
            for kind in sorted(kinds | {_KINDS[key] for key in part if key in _KINDS}):
                if getattr(settings, kind) == "refuse":
                    told = f"is of type `{type}`" if kind in kinds else f"holds {kind}"
                    raise RequestError(
                        f"`messages[{index}].content[{place}]` {told}, which cannot be reviewed "
                        "and is refused by the policy here; send text.",
                        code="not_reviewable",
                        param="messages",
                    )


def _rebuilt(body: Mapping[str, Any], visit: Callable[[str], str]) -> Mapping[str, Any]:
    """The body with `visit` of each text in the text's place; the body itself where nothing has changed. In one pass:
    a copy for each text would take minutes for a request of a hundred thousand small parts."""
    first = [key for key in ("messages", "prompt", "input") if key in body]
    made: dict[str, Any] = {}
    for key in [*first, *(key for key in body if key not in first)]:
        made[key] = body[key] if key in KNOBS - WORDS else _value(body[key], visit, (key,), words=key in WORDS)
    names = {key: _name(key, visit) for key in body}
    if all(made[key] is body[key] and names[key] == key for key in body):
        return body
    return {names[key]: made[key] for key in body}


def _value(value: Any, visit: Callable[[str], str], place: tuple[str, ...], *, words: bool = False) -> Any:
    """`value` with its texts visited; itself where nothing has changed. `place` is where it stands, as far as it may
    still be a message's part; with `words` a single word is no text."""
    if isinstance(value, str):
        if not value or (words and _WORD.fullmatch(value)):
            return value
        new = visit(value)
        return value if new == value else new
    if isinstance(value, list):
        inside = _inside(place, "*")
        items = [_value(item, visit, inside, words=words) for item in value]
        return value if all(map(_same, items, value)) else items
    if not isinstance(value, dict):
        return value
    kind = value.get("type") if place == _PART else None
    media = MEDIA[kind][1] if isinstance(kind, str) and kind in MEDIA else frozenset()
    made: dict[str, Any] = {}
    for key, item in value.items():
        name = _name(key, visit)
        known = key in media or _is_structure(key, item)
        made[name] = item if known else _value(item, visit, _inside(place, key), words=words)
    same = len(made) == len(value) and all(key in made and made[key] is item for key, item in value.items())
    return value if same else made


def _inside(place: tuple[str, ...], step: str) -> tuple[str, ...]:
    at = len(place)
    return (*place, step) if at < len(_PART) and step == _PART[at] and place == _PART[:at] else ("",)


def _same(one: object, other: object) -> bool:
    return one is other


def _name(key: str, visit: Callable[[str], str]) -> str:
    return visit(key) if key and not _WORD.fullmatch(key) else key


def _is_structure(key: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value in ROLES if key == "role" else key in STRUCTURE and _WORD.fullmatch(value) is not None
