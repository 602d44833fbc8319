"""The loop strings of the description's section 9 and of the prototype's own edge file, as table rows."""

from __future__ import annotations

import base64
import random
from itertools import pairwise
from typing import Final

from tests.detectors.edges.case import LoopCase
from tests.detectors.edges.passages import ENGLISH, LONG

_PARAGRAPH: Final = (
    "Let me reconsider the constraint that the total number of apples is even, because if it were odd the division "
    "would fail. "
)
_ANIMALS: Final = ["cat", "dog", "cow", "horse", "sheep", "goat", "pig", "duck", "hen", "fox", "wolf", "bear", "lion"]
_PAGES: Final = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
_HEIRS: Final = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ian"]
_VERSES: Final = ("Morning light is on the hill", "Evening falls upon the bay", "Winter wind is blowing still",
                  "Summer songs are here to stay")  # fmt: skip
_PASTE: Final = "I need to investigate this. Let\n me just paste the message.\n</think>\n"
_ZEROS: Final = "\n".join(" ".join("0" * 50) for _ in range(50))
_RUN: Final = ("run", "exact")
_WHY: Final = "Section 9 of the description."

STOP: Final = tuple(
    LoopCase(name, text, "stop", _WHY, kinds)
    for name, text, kinds in (
        ("letter run", "So the answer is " + "a" * 400, _RUN),
        ("newline flood", "Done.\n" + "\n" * 600, _RUN),
        ("space flood", "x" + " " * 700, _RUN),
        ("zero-width flood", "ok " + "\u200b" * 700, _RUN),
        ("emoji run", "Nice " + "🌊 " * 200, _RUN),
        ("seven hundred threes", "1/3 = 0." + "3" * 700, _RUN),
        ("one word", "items " * 200, _RUN),
        ("wait", "Wait, " * 100, _RUN),
        ("think tag loop", _PASTE * 30, ("exact",)),
        ("sentence twelve times", _PARAGRAPH * 12, ("exact",)),
        ("Chinese sentence", "我们需要重新考虑这个问题，因为条件不满足。" * 25, ("exact", "run")),
        ("Japanese sentences", "もう一度確認します。答えは五です。" * 30, ("exact", "run")),
        ("long counter", "".join(f"Step {i}: I should check case {i} again because it might fail.\n" for i in
                                 range(1, 400)), ("counter",)),
        ("long dashes", "-" * 900, _RUN),
        ("line in a fence", "```python\n" + "x = compute(x)\n" * 300 + "```", ("exact", "run")),
        ("two thoughts in turn", ("Wait, maybe the answer is 12. Alternatively, maybe the answer is 13. ") * 15,
         ("exact", "counter")),
    )
)  # fmt: skip

QUIET: Final = tuple(
    LoopCase(name, text, "quiet", _WHY)
    for name, text in (
        ("sixty threes", "1/3 = 0." + "3" * 60),
        ("142857", "1/7 = 0." + "142857" * 20),
        ("wait four times", "Wait, wait, wait, wait, let me think again about this problem carefully before I answer."),
        ("sentence three times", _PARAGRAPH * 3),
        ("sentence twice and on", _PARAGRAPH * 2 + "Therefore we get twelve apples in total."),
        ("short counter", "".join(f"Step {i}: check case {i}.\n" for i in range(1, 12))),
        ("rules", "Title\n" + "-" * 120 + "\ntext\n" + "=" * 120 + "\n"),
        ("markdown table", "| a | b |\n|---|---|\n" + "".join(f"| {i} | {i * i} |\n" for i in range(40))),
        ("table separator", "|" + "---|" * 40 + "\n"),
        ("box", "+" + "-" * 30 + "+\n" + ("|" + " " * 30 + "|\n") * 8 + "+" + "-" * 30 + "+\n"),
        ("zero matrix", "[" + ",\n".join("[" + ",".join("0" * 10) + "]" for _ in range(10)) + "]"),
        ("lyrics", "\n\n".join(f"{v}\nLa la la la, sing it with me,\nLa la la la, wild and free." for v in _VERSES)),
        ("asserts in a fence", "```python\n" + "".join(f"assert f({i}) == {i * i}\n" for i in range(30)) + "```"),
        ("list of animals", "".join(f"- The {w} is a common kind of animal found in many parts of the world.\n" for w in
                                    _ANIMALS)),
        ("HTML list", "".join(f'<li class="item"><a href="/page/{w}">Page {w}</a></li>\n' for w in _PAGES)),
        ("base64", base64.b64encode(random.Random(1).randbytes(1500)).decode()),
        ("descendants", "Given the following: " + " ".join(f"{a} is {b}'s descendant." for a, b in
                                                           pairwise(_HEIRS))),
        *((f"passage {i} twice", f"{text}\n\n{text}") for i, text in enumerate(ENGLISH)),
        ("2,000 characters twice", LONG[:2_000] * 2),
        ("4,000 characters twice", LONG[:4_000] * 2),
    )
)  # fmt: skip

PROMPTED: Final = (LoopCase("grid of the prompt", _ZEROS, "quiet", _WHY, prompt="Extend this grid:\n" + _ZEROS),)

CASES: Final = STOP + QUIET + PROMPTED
