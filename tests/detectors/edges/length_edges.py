"""What the budgets should say of a hundred and more texts, written before the detector's code was read.

Where a budget must be reported is counted by hand: the estimate promises one token to 4 characters of ASCII text
without digits and 0.6 tokens to a Han or kana character (3.3 and 0.7 until it was measured; the rows follow
`_PER_TOKEN`). A report may come two tokens early and two steps of the grid (32 code points) late. Scripts for which the
estimate may be refined have wide ranges. The key of the budget per choice, `choice_tokens`, is a name the description
does not give; `tool_tokens` was put in afterwards, where the tables had the answer's budget for tools.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from guard.contract import Channel
from tests.detectors.edges.case import LengthCase
from tests.detectors.edges.passages import LONG, REASONING, SPOKEN

_PER_TOKEN: Final = {"ascii": 4.0, "han": 1 / 0.6}
"""Code points a token."""
_KEY: Final = {
    Channel.REASONING: "reasoning_tokens",
    Channel.CONTENT: "content_tokens",
    Channel.TOOL: "tool_tokens",
}
"""Which budget a lane falls under."""


def _fill(source: str, size: int) -> str:
    """Exactly `size` code points of `source`, over and over."""
    return (source * (size // len(source) + 1))[:size]


_SOURCE: Final = {
    "ascii": "".join(c for c in LONG if not c.isdigit()),
    "han": "".join(c for c in SPOKEN["zh"].answer if c >= "\u4e00"),
}


def _text(script: str, tokens: float) -> str:
    return _fill(_SOURCE[script], round(tokens * _PER_TOKEN[script]))


def _at(script: str, tokens: float, before: int = 0) -> tuple[int, int]:
    """Where a budget of `tokens` is passed: two tokens early to two steps late."""
    place = before + round(tokens * _PER_TOKEN[script])
    return max(0, place - 8), place + 32


def _budget(channel: Channel, soft: int | None = None, hard: int | None = None) -> dict[str, Any]:
    limits = {name: value for name, value in (("soft", soft), ("hard", hard)) if value is not None}
    return {_KEY[channel]: limits}


_LANES: Final = (Channel.REASONING, Channel.CONTENT, Channel.TOOL)
_SCRIPTS: Final = ("ascii", "han")

# Soft 300, hard 600 tokens; how much of them the text uses, and what is to be said of it.
_AMOUNTS: Final = (
    ("nothing", 0, False, False, "An empty lane has spent nothing."),
    ("a tenth", 30, False, False, "Far below both."),
    ("just below soft", 292, False, False, "Below is not past."),
    ("just past soft", 312, True, False, "Past soft is recorded."),
    ("between", 450, True, False, "Recorded once, not at every step."),
    ("just below hard", 592, True, False, "Below hard is only soft."),
    ("just past hard", 612, True, True, "Past hard, both are known."),
    ("five times hard", 3_000, True, True, "Each is reported once, where it was passed."),
)
GRADED: Final = tuple(
    LengthCase(
        f"{channel} {script}, {name}",
        _text(script, tokens),
        _at(script, 300) if soft else None,
        _at(script, 600) if hard else None,
        why,
        _budget(channel, 300, 600),
        channel,
    )
    for channel, script, (name, tokens, soft, hard, why) in product(_LANES, _SCRIPTS, _AMOUNTS)
)

_SIZES: Final = ((1, 3), (50, 60), (1_000, 1_200), (4_000, 5_000))
SIZES: Final = tuple(
    LengthCase(
        f"{channel} {script}, budgets of {soft} and {hard}",
        _text(script, hard + 30),
        _at(script, soft),
        _at(script, hard),
        "Any size of budget is met as closely.",
        _budget(channel, soft, hard),
        channel,
    )
    for channel, script, (soft, hard) in product((Channel.REASONING, Channel.CONTENT), _SCRIPTS, _SIZES)
)

ONE_SIDED: Final = tuple(
    case
    for channel in _LANES
    for case in (
        LengthCase(f"{channel}, only soft", _text("ascii", 900), _at("ascii", 300), None, "No hard budget is set.",
                   _budget(channel, soft=300), channel),
        LengthCase(f"{channel}, only hard", _text("ascii", 900), None, _at("ascii", 300), "No soft budget is set.",
                   _budget(channel, hard=300), channel),
        LengthCase(f"{channel}, soft equals hard", _text("ascii", 900), _at("ascii", 300), _at("ascii", 300),
                   "Both are passed at the same place.", _budget(channel, 300, 300), channel),
    )
)  # fmt: skip

_TIGHT: Final = {"soft": 100, "hard": 200}
_WIDE: Final = {"soft": 5_000, "hard": 9_000}
LANES: Final = (
    LengthCase("thinking has its own budget", _text("ascii", 400), None, None, "The tight one is for answers.",
               {"reasoning_tokens": _WIDE, "content_tokens": _TIGHT}, Channel.REASONING),
    LengthCase("answers have their own budget", _text("ascii", 400), None, None, "The tight one is for thinking.",
               {"reasoning_tokens": _TIGHT, "content_tokens": _WIDE}),
    LengthCase("tools go by the answer's budget", _text("ascii", 400), _at("ascii", 100), _at("ascii", 200),
               "They leave as part of the answer.", {"reasoning_tokens": _WIDE, "content_tokens": _TIGHT},
               Channel.TOOL),
    LengthCase("answer after long thinking", _text("ascii", 80), None, None, "What was thought is no part of the lane.",
               {"content_tokens": _TIGHT}, spent=5_000),
    LengthCase("long answer after long thinking", _text("ascii", 300), _at("ascii", 100), _at("ascii", 200),
               "The lane's own tokens count.", {"content_tokens": _TIGHT}, spent=5_000),
    LengthCase("history counts", _text("ascii", 60), _at("ascii", 115), None,
               "A lane taken up again goes on where it was.",
               {"content_tokens": {"soft": 115, "hard": 400}}, history=_text("ascii", 100)),
    LengthCase("history was past soft", _text("ascii", 60), None, _at("ascii", 150),
               "Reported before; only hard is new.",
               {"content_tokens": {"soft": 50, "hard": 150}}, history=_text("ascii", 100)),
    LengthCase("history was past both", _text("ascii", 60), None, None, "Both were reported before.",
               {"content_tokens": {"soft": 20, "hard": 40}}, history=_text("ascii", 100)),
    LengthCase("choice below its budget", _text("ascii", 80), None, None, "900 and 80 are below 1,000.",
               {"choice_tokens": {"soft": 1_000, "hard": 2_000}}, spent=900),
    LengthCase("choice past soft", _text("ascii", 180), _at("ascii", 100), None, "900 were spent on thinking.",
               {"choice_tokens": {"soft": 1_000, "hard": 2_000}}, spent=900),
    LengthCase("choice past hard", _text("ascii", 300), _at("ascii", 50), _at("ascii", 150), "1,850 were spent.",
               {"choice_tokens": {"soft": 1_900, "hard": 2_000}}, spent=1_850),
)  # fmt: skip

_LOOSE: Final = {
    "ru": (180, 1_100), "el": (140, 1_100), "ar": (140, 1_100), "he": (140, 1_100), "hi": (100, 1_100),
    "th": (120, 1_100), "ja": (200, 500), "ko": (200, 600), "fr": (500, 1_200), "vi": (300, 1_100),
}  # fmt: skip
"""Language to the range in which 300 tokens lie by any reasonable count."""
SCRIPTS: Final = (
    *(
        LengthCase(f"{code}, past soft", _fill(SPOKEN[code].answer, 1_600), (low, high + 32), None,
                   "Counted in tokens, not in characters.", {"content_tokens": {"soft": 300, "hard": 90_000}})
        for code, (low, high) in _LOOSE.items()
    ),
    *(
        LengthCase(f"{code}, below soft", _fill(SPOKEN[code].answer, low - 40), None, None,
                   "Fewer characters than tokens allow.", {"content_tokens": {"soft": 300, "hard": 600}})
        for code, (low, _) in _LOOSE.items()
    ),
    LengthCase("half Han, half English", _text("han", 100) + _text("ascii", 300),
               _at("ascii", 100, round(100 * _PER_TOKEN["han"])), None, "The sum of both parts.",
               {"content_tokens": {"soft": 200, "hard": 900}}),
    LengthCase("numbers", _fill("3.14159 + 2.71828 = 5.85987; ", 1_200), (80, 700), None,
               "Digits cost more than letters: Qwen spends one token on each.",
               {"content_tokens": {"soft": 200, "hard": 9_000}}),
    LengthCase("blanks", " " * 6_000, None, None, "A tokenizer packs a run of blanks into few tokens.",
               {"content_tokens": {"soft": 2_500, "hard": 9_000}}),
)  # fmt: skip

_HESITANT: Final = _fill("Wait, hmm, let me check. Alternatively, no. ", 1_000)
_ANSWERED: Final = _fill("So the answer is \\boxed{7}. Let me verify. The answer is 7. ", 1_000)
REPORTED_ONLY: Final = tuple(
    LengthCase(name, text, None, None, why, {"reasoning_tokens": {"soft": 400, "hard": 800}}, Channel.REASONING)
    for name, text, why in (
        ("hesitant", _HESITANT, "Hesitation is reported, it triggers nothing."),
        ("answered again and again", _ANSWERED, "Repeated answers are reported, they trigger nothing."),
        ("compressible", "ab " * 330, "Compression is reported, it triggers nothing."),
        ("ordinary", REASONING[0], "An ordinary thought."),
    )
)

_MODELS: Final = (
    ("Qwen/QwQ-32B", 7_500, None, None, "Below the 8,000 of QwQ-32B."),
    ("Qwen/QwQ-32B", 9_000, 8_000, None, "Past 8,000."),
    ("Qwen/QwQ-32B", 17_000, 8_000, 16_000, "Past 16,000."),
    ("Qwen/QwQ-32B-Preview", 3_500, None, None, "Below the 4,000 of Preview."),
    ("Qwen/QwQ-32B-Preview", 5_000, 4_000, None, "Past 4,000: Preview thinks less."),
    ("Qwen/QwQ-32B-Preview", 9_000, 4_000, 8_000, "Past 8,000."),
    ("", 7_500, None, None, "An unknown model has the generous budget."),
    ("", 17_000, 8_000, 16_000, "An unknown model has the generous budget."),
)
FAMILIES: Final = tuple(
    LengthCase(
        f"{model or 'unknown model'} with {tokens} tokens",
        _text("ascii", tokens),
        None if soft is None else _at("ascii", soft),
        None if hard is None else _at("ascii", hard),
        why,
        {},
        Channel.REASONING if "Preview" not in model else Channel.CONTENT,
        model=model,
    )
    for model, tokens, soft, hard, why in _MODELS
)

CASES: Final = (*GRADED, *SIZES, *ONE_SIDED, *LANES, *SCRIPTS, *REPORTED_ONLY, *FAMILIES)
