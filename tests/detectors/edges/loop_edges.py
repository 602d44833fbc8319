"""What loop detection should say of a hundred and eighty texts, written before its code was read.

The thresholds meant are those of the description: verbatim copies stop after 60 (period 1-2), 20 (to 8), 8 (to 32),
5 (to 128), 3.5 (to 512), 3 (to 2,048) or 2.5 copies; near copies after 4 copies and 500 characters; counters warn at
20 copies and stop at 80 copies and 6,000 characters; headers of the prompt stop at the fourth block. Rows keep away
from those numbers unless their name says otherwise.

Past 300 lines because it is one table.
"""
# ruff: noqa: E501 - rows are kept whole

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, Final

from guard.contract import Channel
from tests.detectors.edges.case import LoopCase
from tests.detectors.edges.passages import ANSWERS, ENGLISH, LONG, REASONING, SPOKEN

_EXACT: Final = ("exact", "run")
_COUNTER: Final = ("counter",)
_HEADER: Final = ("self_prompt",)
_CIRCLE: Final = ("stagnation", "recurrence")
_CONTENT: Final = Channel.CONTENT


def _verbatim(
    name: str,
    unit: str,
    copies: int,
    why: str,
    before: str = "",
    after: str = "",
    kinds: tuple[str, ...] = _EXACT,
    channel: Channel = Channel.REASONING,
    prompt: str = "",
    settings: Mapping[str, Any] | None = None,
) -> LoopCase:
    """`unit` over and over: must stop, with its length as the period."""
    text = before + unit * copies + after
    period, repeat_at = len(unit), len(before) + len(unit)
    return LoopCase(name, text, "stop", why, kinds, prompt, channel, settings or {}, period, repeat_at)


def _lines(form: str, values: Iterable[object]) -> str:
    return "".join(form.format(value) + "\n" for value in values)


def _each(texts: Iterable[str]) -> str:
    return "\n".join(texts) + "\n"


def _shuffled(sentences: tuple[str, ...], rounds: int) -> str:
    dice = random.Random(3)
    return "\n\n".join(" ".join(dice.sample(sentences, len(sentences))) for _ in range(rounds))


# ------------------------------------------------------------------------------------------------------- runs
RUNS: Final = (
    _verbatim("haha flood", "ha", 400, "One syllable for ever is a run.", "That is funny, "),
    _verbatim("exclamation flood", "!", 900, "Punctuation that never ends.", "Yes"),
    _verbatim("tab flood", "\t", 800, "Invisible text is still paid for.", "Answer:"),
    _verbatim("no-break space flood", "\u00a0", 800, "Another invisible character.", "The result is"),
    _verbatim("ideographic space flood", "\u3000", 800, "A full-width blank is a blank.", "答案是"),
    _verbatim("line feed and carriage return flood", "\r\n", 500, "Blank lines in Windows style.", "Done."),
    _verbatim("dots", ".", 1_500, "Dots to the end of the budget.", "Thinking"),
    _verbatim("dots with spaces", ". ", 600, "The same dots, spaced.", "Let me see "),
    _verbatim("em dashes", "—", 900, "A dash that never ends.", "So the answer"),
    _verbatim("equals signs", "=", 3_000, "Far longer than any rule under a title.", "Result\n"),
    _verbatim("underscores", "_", 3_000, "Far longer than any form's blank.", "Name: "),
    _verbatim("laughing in Korean", "ㅋ", 500, "One jamo for ever.", "정답은 오입니다 "),
    _verbatim("one Han character", "的", 400, "One character for ever.", "这个函数"),
    _verbatim("thumbs up", "👍", 400, "One emoji for ever.", "Glad I could help! "),
    _verbatim("flag emoji", "🇫🇷", 200, "An emoji of two code points.", "Bonne chance "),
    _verbatim("family emoji", "👨‍👩‍👧", 150, "An emoji of five code points.", "All together "),
    _verbatim("thousand zeros", "0", 2_000, "Digits need more copies, but not this many.", "10^n = 1"),
    _verbatim("closing brackets", "}", 700, "JSON that is closed for ever.", '{"a": {"b": 1', channel=Channel.TOOL),
    _verbatim("closing think tags", "</think>\n", 80, "The model fails to leave its thinking.", "I am done."),
    _verbatim("end of text marker", "<|endoftext|>", 60, "A special token that leaked as text.", "The end."),
    _verbatim("microsatellite", "AT", 1_200, "A base pair for ever.", "Sequence: GC"),
    LoopCase("long no", "N" + "o" * 45 + "! That cannot be right, because 7 is odd.", "quiet", "A drawn-out cry."),
    LoopCase("ten haha", "ha" * 10 + "! Good one. Back to the problem: 3x = 12.", "quiet", "People laugh like this."),
    LoopCase("rule of equals", "Results\n" + "=" * 80 + "\nAll tests passed.\n", "quiet", "Setext heading."),
    LoopCase("form with blanks", "Name: " + "_" * 60 + "\nDate: " + "_" * 40 + "\n", "quiet", "A printed form."),
    LoopCase("thirty blank lines", "Poem" + "\n" * 30 + "white space matters\n", "quiet", "A page break by hand."),
    LoopCase("deep indent", "if a:\n" + " " * 100 + "return b\n", "quiet", "Code pushed far to the right."),
    LoopCase("progress bar", "[" + "█" * 50 + "░" * 14 + "] 78 %\n", "quiet", "Terminal drawing."),
    LoopCase("googol", "A googol is 1" + "0" * 100 + ", a one with a hundred zeros.", "quiet", "A number that is so."),
    LoopCase("box drawing", "┌" + "─" * 78 + "┐\n│ total │\n└" + "─" * 78 + "┘\n", "quiet", "A box."),
    LoopCase("Morse code", "... --- ... / -.-. --.- -.. / ... --- ... / -.. . / .- -... -.-. / -.-\n", "quiet", "SOS."),
    LoopCase("ellipses in dialogue", "Well... I... I don't know... maybe... twelve?", "quiet", "A hesitant speaker."),
    LoopCase("seventeenth", "1/17 = 0." + "0588235294117647" * 5 + "...", "quiet", "A recurring decimal, five times."),
    LoopCase("bits", "mask = 0b" + "01" * 16 + " # even bits\n", "quiet", "A constant in code."),
)

# ------------------------------------------------------------------------------------------- verbatim copies
_MATH: Final = "So x = 3 or x = -3. Let me verify: 3^2 = 9 and (-3)^2 = 9. Both work. "
_SCENE: Final = "The king looks at the door, and the door looks back at the king. "
_PROOF: Final = ENGLISH[1] + "\n\n"
_STEPS: Final = "\n\n".join(REASONING[2:5]) + "\n\n"
_RHYME: Final = (
    "The lamp is low, the road is long,\nThe wind has lost the evening song,\n"
    "And every step I leave behind\nIs one more step I have to find.\n\n"
)
_FUNCTION: Final = (
    "def normalise(values):\n    total = sum(values)\n    if total == 0:\n        return values\n"
    "    return [value / total for value in values]\n\n"
)
_FENCED: Final = "Here is the module:\n\n```python\n"
_SAME: Final = {
    "ko": "따라서 답은 십이입니다. 다시 한번 확인해 보겠습니다. ",
    "ru": "Значит, ответ равен двенадцати. Проверим ещё раз. ",
    "uk": "Отже, відповідь дорівнює дванадцяти. Перевіримо ще раз. ",
    "ar": "إذن الجواب هو اثنا عشر. دعني أتحقق مرة أخرى. ",
    "he": "לכן התשובה היא שתים עשרה. נבדוק שוב. ",
    "hi": "इसलिए उत्तर बारह है। मैं फिर से जाँच करता हूँ। ",
    "th": "ดังนั้นคำตอบคือสิบสอง ลองตรวจสอบอีกครั้งหนึ่ง ",
    "el": "Άρα η απάντηση είναι δώδεκα. Ας το ελέγξω ξανά. ",
    "vi": "Vậy đáp số là mười hai. Để tôi kiểm tra lại lần nữa. ",
    "zh": "所以答案是十二。让我再检查一遍这个结果。",
}
VERBATIM: Final = (
    _verbatim("check of roots", _MATH, 12, "The commonest loop: a check that is checked."),
    _verbatim("after long clean thought", _MATH, 12, "A loop late in a clean text.", LONG + "\n\n"),
    _verbatim("then recovers", _MATH, 15, "It stopped by itself, but much was wasted.", "", REASONING[0]),
    _verbatim("hmm", "Hmm. ", 120, "One word for ever."),
    _verbatim("two hesitations", "Wait, no. Hmm, yes. ", 40, "Two phrases in turn."),
    _verbatim("rhyme", _RHYME, 12, "A poem whose one stanza comes twelve times.", channel=_CONTENT),
    _verbatim("la la for ever", "la la la, ", 150, "Even lyrics end.", "Chorus: ", channel=_CONTENT),
    _verbatim("paragraph of 500", _PROOF, 6, "A whole paragraph again and again.", REASONING[0] + "\n\n"),
    _verbatim("period of 1,500", _STEPS, 5, "Three paragraphs as one period.", "Okay. "),
    _verbatim("period of 6,000", LONG + "\n\n", 4, "Nobody sees this by looking at one page."),
    _verbatim("final answer block", "**Final Answer**\n\n\\[ \\boxed{42} \\]\n\n", 25, "QwQ's own ending."),
    _verbatim("boxed", "\\boxed{42}\n", 60, "The answer without end.", "Therefore\n"),
    _verbatim("the answer is", "The answer is 42. ", 40, "A conclusion without end.", REASONING[3] + "\n"),
    _verbatim("LaTeX rows", "x &= x + 1 - 1 \\\\\n", 50, "An align that does not move.", "\\begin{align}\n"),
    _verbatim("JSON rows", '{"id": 1, "name": "Alice", "role": "admin"},\n', 60, "The same record.", "[\n", channel=_CONTENT),
    _verbatim("tool argument", "weather in Paris and ", 60, "Arguments that never close.", '{"query": "', channel=Channel.TOOL),
    _verbatim("table row", "| 2021 | 4.5 % | stable |\n", 150, "Past any table's patience.", "| year | rate | trend |\n|---|---|---|\n"),
    _verbatim("function in a fence", _FUNCTION, 30, "The same function thirty times.", _FENCED, channel=_CONTENT),
    _verbatim("import lines", "import numpy as np\n", 250, "The same import.", "```python\n", channel=_CONTENT),
    _verbatim("log line", "ERROR: connection refused, retrying\n", 100, "A log without time stamps."),
    _verbatim("stage direction", _SCENE, 15, "A script that is stuck.", ANSWERS[4] + "\n", channel=_CONTENT),
    _verbatim("ingredients", "- 2 cups of flour\n- 1 cup of sugar\n", 25, "A recipe of one page.", channel=_CONTENT),
    _verbatim("equation chain", "= 2 + 2 = 4 ", 80, "Letters are few, but it is no number.", "2 + 2 "),
    _verbatim("HTML", '<div class="row"><span>item</span></div>\n', 60, "Markup without end.", "<body>\n", channel=_CONTENT),
    _verbatim("chemistry", "2 H2 + O2 -> 2 H2O. Balanced. ", 30, "A formula that is balanced for ever."),
    _verbatim("mixed emoji line", "🌟 You can do it! 🌟\n", 40, "Encouragement without end.", channel=_CONTENT),
    *(
        _verbatim(f"sentence in {code}", unit, 25, "The same two sentences in another script.", SPOKEN[code].answer)
        for code, unit in _SAME.items()
    ),
    LoopCase("first copies of 90", (_MATH + "\n") * 3, "quiet", "Three times is insistence."),
    LoopCase("draft and final of 1,500", _STEPS * 2, "quiet", "A draft and its fair copy."),
    LoopCase("draft and final of 6,000", LONG + "\n\n" + LONG, "quiet", "A long draft and its fair copy."),
    LoopCase("half a second copy", LONG + "\n\n" + LONG[:2_500], "quiet", "It quotes itself and goes on no further."),
    LoopCase("paragraph twice, far apart", _PROOF + LONG + _PROOF, "quiet", "A lemma that is stated again."),
    LoopCase("chorus three times", "\n".join((*REASONING[:2], _RHYME, ANSWERS[1], _RHYME, ANSWERS[5], _RHYME)), "quiet",
             "A refrain between fresh verses."),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ near copies
_OPENERS: Final = ("Wait, ", "Hmm, ", "But ", "Alternatively, ", "Actually, ", "Hold on, ", "No, ", "So ", "Okay, ")
_EDITABLE: Final = (
    "I think the {0} way to see this is to draw the {1} circle through the three points and to compare the angles at "
    "its centre with those on its rim. The {2} angle is half of the central one, so the triangle must be right-angled, "
    "and that means the side we want is the diameter. But that does not agree with the {3} length given above. "
)
_EDITS: Final = (
    ("best", "whole", "inscribed", "other"),
    ("easiest", "outer", "small", "first"),
    ("right", "unique", "lower", "second"),
    ("cleanest", "smallest", "opposite", "known"),
    ("usual", "big", "marked", "shorter"),
)
_FIVE: Final = (
    "The grandmother is older than the teacher, so she cannot be the youngest person in the room.",
    "If the doctor sits next to the window, the pianist must be across from the empty chair.",
    "The note in the drawer was written by somebody who owns a green pen.",
    "Nobody but the gardener could have known that the gate is left open on Mondays.",
    "That means the alibi of the younger brother depends on the clock in the hall.",
    "Either the clock was wrong, or the letter had been posted before breakfast.",
    "The porter remembers a parcel, although he is not sure about its colour.",
    "So the only witness we can trust is the child who was feeding the birds.",
)
_HAN_OPENERS: Final = ("但是", "等等，", "不过", "或者", "然而", "所以", "那么", "其实")
_HAN_CLAIM: Final = "如果甲说的是真话，那么乙一定在说谎，可是乙说谎又会让丙的话变成真的，这和题目里的条件矛盾。"
_PEOPLE: Final = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy", "Ken", "Lara")
NEAR: Final = (
    LoopCase("changing opener", _each(_OPENERS[i * 5 % 9] + "maybe the rectangle is inside the circle, which makes the "
             "diagonal equal to the diameter, and then the area follows." for i in range(36)), "stop",
             "The same thought behind another first word.", ("near", "exact", "recurrence", "stagnation")),
    LoopCase("four words edited", "".join(_EDITABLE.format(*_EDITS[i % 5]) for i in range(30)), "stop",
             "Twenty-odd copies in which four words change in a round.", ("near", "exact", "recurrence", "stagnation")),
    LoopCase("edits drawn at random", "".join(_EDITABLE.format(*(random.Random(i * 4 + k).choice(_EDITS)[k]
             for k in range(4))) for i in range(30)), "stop", "No two copies alike, and nothing new in any.",
             ("near", "recurrence", "stagnation")),
    LoopCase("names in turn", _each(f"Suppose {random.Random(i).choice(_PEOPLE)} is lying. Then the box on the left is "
             "empty, which contradicts the second clue." for i in range(60)), "stop",
             "Sixty times the same suspicion of twelve people.", ("near", "counter", "recurrence", "stagnation")),
    LoopCase("shuffled sentences", _shuffled(_FIVE, 16), "stop", "Eight sentences in ever new order.",
             ("recurrence", "stagnation", "near")),
    LoopCase("growing indent", "".join(" " * i + "and therefore the inner loop has to be checked again\n"
             for i in range(60)), "stop", "Only the white space changes.", ("near", "exact", "recurrence", "stagnation")),
    LoopCase("changing case", _each((str.upper, str.lower, str.title)[i % 3]("the sum of the angles is not what the "
             "figure shows, so look again") for i in range(45)), "stop", "Only the letter case changes.",
             ("near", "exact", "recurrence", "stagnation")),
    LoopCase("changing punctuation", "".join("I have to look at the boundary of the region once more" + end
             for end in (". ", "... ", "! ", ", ", "; ", " - ", "? ") * 7), "stop", "Only the points change.",
             ("near", "exact", "recurrence", "stagnation")),
    LoopCase("Han with changing opener", "".join(_HAN_OPENERS[i * 3 % 8] + _HAN_CLAIM for i in range(40)), "stop",
             "The same contradiction forty times.", ("near", "exact", "recurrence", "stagnation")),
    LoopCase("paragraph with typos", "".join(_PROOF[:i * 37 % 480] + _PROOF[i * 37 % 480 + 1:] for i in range(1, 15)),
             "stop", "Fourteen copies, one letter missing in each.", ("near", "exact", "recurrence", "stagnation")),
    LoopCase("dialogue of two", "".join(f'"Are you sure?" asked {a}. "I am sure," said {b}. ' for a, b in
             zip(_PEOPLE * 4, _PEOPLE[1:] * 5, strict=False)), "stop", "Forty exchanges with nothing in them.",
             ("near", "exact", "counter", "recurrence", "stagnation"), channel=_CONTENT),
    LoopCase("edited twice", "".join(_EDITABLE.format(*_EDITS[i]) for i in range(2)) + REASONING[0], "quiet",
             "A thought put in other words once."),
    LoopCase("shuffled twice", _shuffled(_FIVE, 2), "quiet", "A second look at the same facts."),
    LoopCase("twelve defendants", _each(f"{name} shall be liable for any loss that arises from a breach of this clause "
             f"by {name} or by {name}'s agents, up to the amount in Annex {i}." for i, name in enumerate(_PEOPLE, 1)),
             "quiet", "Lawyers write so.", channel=_CONTENT),
    LoopCase("anaphora", _each(f"We shall remember {what}." for what in (
             "the winter when the bridge fell", "those who carried lamps through the snow", "a baker who gave his bread "
             "away", "songs that nobody wrote down", "how quiet the harbour was", "every name on the wall", "children "
             "waiting at the crossing", "what it cost to come home")), "quiet", "A speech.", channel=_CONTENT),
    LoopCase("unit conversions", _each(f"To convert {a} to {b}, multiply by {f}." for a, b, f in (
             ("miles", "kilometres", 1.609), ("pounds", "kilograms", 0.4536), ("feet", "metres", 0.3048), ("inches",
             "centimetres", 2.54), ("gallons", "litres", 3.785), ("acres", "hectares", 0.4047), ("ounces", "grams",
             28.35), ("knots", "metres per second", 0.5144), ("bars", "pascals", 100_000))), "quiet",
             "A list with one pattern.", channel=_CONTENT),
)  # fmt: skip

# ---------------------------------------------------------------------- counters, enumerations, computed rows
_BOTTLES: Final = "".join(
    f"{n} bottles of beer on the wall, {n} bottles of beer.\nTake one down and pass it around, {n - 1} bottles of beer "
    "on the wall.\n\n"
    for n in range(99, 1, -1)
)
_TRY: Final = "Let me try k = {0}. That does not work either, so I go on with the next one."


def _hanoi(disks: int, a: str = "A", b: str = "B", c: str = "C") -> list[str]:
    if disks == 0:
        return []
    return [*_hanoi(disks - 1, a, c, b), f"Move disk {disks} from {a} to {c}.", *_hanoi(disks - 1, b, a, c)]


def _collatz(n: int) -> list[int]:
    return [n] if n == 1 else [n, *_collatz(n // 2 if n % 2 == 0 else 3 * n + 1)]


def _primes(limit: int) -> list[int]:
    return [n for n in range(2, limit) if all(n % d for d in range(2, int(n**0.5) + 1))]


COUNTERS: Final = (
    LoopCase("try every k", _lines(_TRY, range(1, 400)), "stop", "Four hundred tries without a result.", _COUNTER),
    LoopCase("try every k, down", _lines(_TRY, range(500, 100, -1)), "stop", "The same, counting down.", _COUNTER),
    LoopCase("numbered advice", "".join(f"{i}. Check the answer again.\n" for i in range(1, 500)), "stop",
             "A list of one item.", _COUNTER),
    LoopCase("dated diary", "".join(f"2024-{m:02}-{d:02}: nothing of note happened on this day.\n" for m in range(1, 13)
             for d in range(1, 29)), "stop", "A year of nothing.", _COUNTER, channel=_CONTENT),
    LoopCase("log with time stamps", "".join(f"[12:{s // 60:02}:{s % 60:02}] WARN queue is full, dropping event {s}\n"
             for s in range(400)), "stop", "A log that nobody asked for.", _COUNTER, channel=_CONTENT),
    LoopCase("dummy users", "".join(f'{{"id": {i}, "name": "user_{i}", "email": "user_{i}@example.com"}},\n'
             for i in range(400)), "stop", "Made-up data without end.", _COUNTER, channel=_CONTENT),
    LoopCase("counting aloud", "The sum is " + ", ".join(map(str, range(1, 4_000))), "stop",
             "It was asked for a sum and counts.", ("counter", "run", "near"), "What is the sum of 1 to 100?"),
    LoopCase("Han counter", "".join(f"第{i}步：再检查一次条件{i}是否成立，结果仍然不确定。\n" for i in range(1, 400)), "stop",
             "A counter in Chinese.", _COUNTER),
    LoopCase("test numbering", "```python\n" + "".join(f"def test_case_{i}():\n    assert solve({i}) is not None\n\n"
             for i in range(600)) + "```\n", "stop", "Six hundred empty tests.", _COUNTER, channel=_CONTENT),
    LoopCase("forty tries", _lines(_TRY, range(1, 41)), "warn", "Brute force, still at a human size.", _COUNTER),
    LoopCase("forty days", "".join(f"Day {i}: walk for {i * 2} minutes, drink water and write a few lines.\n"
             for i in range(1, 41)), "warn", "A plan that could be shorter.", _COUNTER, channel=_CONTENT),
    LoopCase("eight tries", _lines(_TRY, range(1, 9)), "quiet", "A short search."),
    LoopCase("multiplication tables", "".join(f"{a} x {b} = {a * b}\n" for a in range(1, 13) for b in range(1, 13)),
             "quiet", "The twelve tables, as asked.", prompt="Write out the multiplication tables up to 12.",
             channel=_CONTENT),
    LoopCase("primes", "The primes below 1,000 are " + ", ".join(map(str, _primes(1_000))) + ".", "quiet", "A list."),
    LoopCase("Collatz of 27", " → ".join(map(str, _collatz(27))), "quiet", "A computation of 111 steps."),
    LoopCase("Fibonacci", "\n".join(f"F({i}) = {round(1.618033988749895**i / 5**0.5)}" for i in range(1, 45)), "quiet",
             "Forty-four different numbers."),
    LoopCase("Hanoi with five disks", _each(_hanoi(5)), "quiet", "Thirty-one moves is the shortest solution.",
             channel=_CONTENT),
    LoopCase("Hanoi with seven disks", _each(_hanoi(7)), "quiet", "A hundred and twenty-seven moves, as asked.",
             prompt="List all moves for the Tower of Hanoi with 7 disks, one per line.", channel=_CONTENT),
    LoopCase("trial division", _each(f"{n} / {d} = {n / d:.3f}, not an integer." for n, d in
             ((1009, d) for d in _primes(32))), "quiet", "Eleven divisions to prove a prime."),
    LoopCase("simulated loop", _each(f"i = {i}: total = {i * (i + 1) // 2}, last = {i * i % 11}" for i in range(24)),
             "quiet", "A program traced by hand."),
    LoopCase("Newton's method", _each(f"x_{i} = {2**0.5 + 0.5**2**i:.12f}" for i in range(9)), "quiet", "Nine steps."),
    LoopCase("truth table", _each(f"| {n >> 3 & 1} | {n >> 2 & 1} | {n >> 1 & 1} | {n & 1} | {int(n % 3 == 0)} |"
             for n in range(16)), "quiet", "Sixteen rows.", channel=_CONTENT),
    LoopCase("truth table of 64", "| a | b | c | d | e | f | out |\n|---|---|---|---|---|---|---|\n" + _each("| "
             + " | ".join(f"{n:06b}") + f" | {int(n % 5 == 0)} |" for n in range(64)), "quiet",
             "Sixty-four rows, as asked.", prompt="Give the truth table over six variables.", channel=_CONTENT),
    LoopCase("bottles of beer, asked", _BOTTLES, "quiet", "That is how the song goes.",
             prompt='Write out the complete lyrics of "99 bottles of beer", all verses.', channel=_CONTENT),
    LoopCase("dummy users, asked", "".join(f'{{"id": {i}, "name": "user_{i}", "email": "user_{i}@example.com"}},\n'
             for i in range(1, 201)), "quiet", "Two hundred rows, as asked.",
             prompt='Generate 200 rows like {"id": 1, "name": "user_1", "email": "user_1@example.com"},',
             channel=_CONTENT),
    LoopCase("case split", _each(f"Case {i}: n leaves the remainder {i} modulo 6. {what}" for i, what in enumerate((
             "Then n is a multiple of six and there is nothing to show.", "Subtract one and factor the difference of "
             "cubes.", "Half of n is odd plus one, so use the first lemma twice.", "Both n and its square are odd "
             "multiples of three.", "Write n as minus two; signs flip but the bound survives.", "This mirrors the "
             "second case with every sign reversed."))), "quiet", "Six cases, each with its own reason."),
)  # fmt: skip

# ------------------------------------------------------------------ circular reasoning and repeated conclusions
_DOUBTS: Final = (
    "maybe the question means the inner area only", "perhaps I misread which side is shaded", "it could be that both "
    "parts are meant", "possibly the outer ring does not count", "the wording might allow either reading", "one could "
    "take the shaded part as the answer",
)  # fmt: skip
_REPLIES: Final = (
    "but then the hint about symmetry makes no sense", "although that would leave the ratio undetermined", "which again "
    "contradicts what the figure shows", "and still the two readings disagree", "yet nothing in the text says so",
    "however the picture is not drawn to scale",
)  # fmt: skip
_RETURNS: Final = (
    "So I am back where I began.", "That does not settle it.", "Let me think about it once more.", "I need to decide "
    "which one is right.", "This is confusing.", "I am not certain at all.",
)  # fmt: skip


def _circle(paragraphs: int, seed: int = 5) -> str:
    dice = random.Random(seed)
    return "\n\n".join(
        f"{dice.choice(_OPENERS)}{dice.choice(_DOUBTS)}, {dice.choice(_REPLIES)}. {dice.choice(_RETURNS)}"
        for _ in range(paragraphs)
    )


FRESH: Final = (
    "The answer seems to be that the statue was moved at night. Nobody would have dared to touch it in daylight.",
    "Thinking about it from the thief's side, darkness is the natural cover. Night it is, then.",
    "On the other hand a crowd hides a crime too. Still, a statue is heavy, and crowds ask questions. Night remains.",
    "Let me look at this freshly. Who gains from waiting until sunset? Anyone who fears being seen. Hence the night.",
    "What if the guards were bribed? Then the hour would be free to choose, and one would still choose the late one.",
    "Perhaps I should weigh morning again. Deliveries come early, gates are open; too risky. After dark is better.",
    "Suppose it was noon. The square is full of vendors. Impossible. That leaves the hours without light.",
    "Looking at it differently, lamps are lit at dusk and put out soon after. A cart could pass then unnoticed.",
    "I keep wondering about dawn, yet the same objection returns: people are about. Nighttime is what fits.",
    "Another approach is to ask when noise matters least. Streets sleep, doors are shut, nobody listens. Midnight-ish.",
    "Consider the rope marks. They tell of haste, and haste belongs to people who fear a passer-by. Dark again.",
    "To be thorough, an accident is thinkable, with no hour at all. But statues do not walk. Somebody came by night.",
    "Going over everything a further time, each path ends at the same place: it happened while the town slept.",
    "And yet, could evening count as daytime here? Whatever we call it, there was no sun. The conclusion stands.",
)
"""The same conclusion fourteen times, and hardly a word in common."""
_BOXES: Final = (
    "Checking by substitution gives the same value, so the answer is \\boxed{7}.",
    "A quick parity argument agrees. Therefore \\boxed{7}.",
    "Counting on fingers leads there too, and I conclude \\boxed{7}.",
    "The picture confirms it: \\boxed{7}.",
    "By symmetry nothing else is possible, hence \\boxed{7}.",
)
CIRCULAR: Final = (
    LoopCase("round of doubts", _circle(70), "stop", "Seventy paragraphs made of the same doubts.", _CIRCLE),
    LoopCase("long round of doubts", LONG + "\n\n" + _circle(90, 8), "stop", "The same after clean thought.", _CIRCLE),
    LoopCase("fresh words, same conclusion", "\n\n".join(FRESH), "stop",
             "Fourteen times the same conclusion without a new fact.", ("stagnation", "recurrence", "near")),
    LoopCase("boxed again and again", "\n\n".join(_BOXES[random.Random(i).randrange(5)] for i in range(60)), "stop",
             "Sixty times the answer, in five ways.", ("stagnation", "recurrence", "near", "exact")),
    LoopCase("A or B", "".join(random.Random(i).choice(("It must be A. ", "No, it must be B. ", "A fits better. ",
             "B is safer. ", "But A was my first thought. ", "The key says B, I believe. ")) for i in range(300)),
             "stop", "Three hundred changes of mind.", ("stagnation", "recurrence", "near")),
    LoopCase("Han round of doubts", "".join(random.Random(i).choice(("也许题目的意思是只算里面的面积。", "但是图上画的不是这样。",
             "那么应该把外圈也算进去。", "可是这样又和提示矛盾。", "我再想一想。", "这个说法不太对。", "或者两种理解都可以。")) for i in
             range(420)), "stop", "Seven sentences in ever new order.", ("stagnation", "recurrence", "near")),
    LoopCase("one sentence between others", "\n".join(f"{text} {tail}" for text in ENGLISH for tail in (
             "I should double-check the wording of the task before I go on.",)), "warn",
             "A dozen times the same sentence, each after something new."),
    LoopCase("a few doubts", _circle(6), "quiet", "Six doubts are thinking."),
    LoopCase("six of the fresh words", "\n\n".join(FRESH[:6]), "quiet", "A conclusion tested from six sides."),
    LoopCase("boxed twice", REASONING[0] + "\n\n" + "\n\n".join(_BOXES[:2]), "quiet", "An answer and its check."),
    LoopCase("twelve passages", LONG, "quiet", "Twelve passages about twelve things."),
    LoopCase("hesitant but moving", "\n\n".join(opener + text for opener, text in zip(_OPENERS, ENGLISH, strict=False)),
             "quiet", "Each doubt is followed by something new."),
    LoopCase("verification of each step", _each(f"Check: {a} * {b} = {a * b}, correct." for a, b in
             ((17, 23), (41, 9), (8, 125), (37, 27), (12, 144), (99, 101))), "quiet", "Six sums checked."),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ self-prompting
_QUESTIONS: Final = (
    ("Which river runs through Vienna?", "The Danube."),
    ("Who painted the ceiling of the Sistine Chapel?", "Michelangelo, between 1508 and 1512."),
    ("What is the boiling point of water at sea level?", "One hundred degrees Celsius."),
    ("How many strings has a violin?", "Four, tuned in fifths."),
    ("Which metal is liquid at room temperature?", "Mercury."),
    ("In which year did the Berlin Wall fall?", "1989."),
    ("What do bees collect besides nectar?", "Pollen, water and resin."),
    ("Which planet has the shortest day?", "Jupiter, with just under ten hours."),
    ("What is the longest bone in the body?", "The femur."),
    ("Who wrote the opera Carmen?", "Georges Bizet."),
)


def _blocks(question: str, answer: str, count: int, first: str = "") -> str:
    return first + "".join(f"\n\n{question} {q}\n{answer} {a}" for q, a in _QUESTIONS[:count])


def _plans(count: int) -> str:
    return "".join(
        f"[STATEMENT]\nAs initial conditions I have that the {a} block is on the table and the {b} block is on top of "
        f"it.\nMy goal is to have the {a} block on top of the {b} block.\n[PLAN]\nunstack the {b} block\nput down the "
        f"{b} block\nstack the {a} block\n[PLAN END]\n\n"
        for a, b in list(zip(("red", "blue", "orange", "yellow", "white", "green", "black"), ("grey", "pink", "violet",
                             "brown", "teal", "olive", "cyan"), strict=True))[:count]
    )  # fmt: skip


_QA_PROMPT: Final = "Question: What is the capital of Peru?\nAnswer: Lima.\n\nQuestion: Who invented the zip?\nAnswer:"
_CARDS: Final = 'Make ten flash cards. Write each card as two lines, "Question: ..." and "Answer: ...".'
SELF_PROMPT: Final = (
    LoopCase("question and answer", _blocks("Question:", "Answer:", 9, " Whitcomb Judson."), "stop",
             "It goes on with questions of its own.", _HEADER, _QA_PROMPT, _CONTENT),
    LoopCase("block world", _plans(6), "stop", "It writes the next problems too.", (*_HEADER, "near"),
             "I am playing with blocks.\n\n[STATEMENT]\nThe red block is on the table.\n[PLAN]\n", _CONTENT),
    LoopCase("instruction blocks", _blocks("### Instruction:\n", "### Response:\n", 7), "stop",
             "It plays both sides.", _HEADER, "### Instruction:\nName a bridge.\n\n### Response:\n", _CONTENT),
    LoopCase("user and assistant", _blocks("User:", "Assistant:", 8), "stop", "It speaks for the user.", _HEADER,
             "User: Hello!\nAssistant: Hello, how can I help?\nUser: Name a fish.\nAssistant:", _CONTENT),
    LoopCase("human and AI", _blocks("Human:", "AI:", 8, " A trout."), "stop", "It speaks for the human.", _HEADER,
             "Human: Name a bird.\nAI: A wren.\nHuman: Name a fish.\nAI:", _CONTENT),
    LoopCase("input and output", _blocks("Input:", "Output:", 8), "stop", "Few-shot pairs continue.", _HEADER,
             "Input: 2 + 2\nOutput: 4\n\nInput: 3 + 5\nOutput:", _CONTENT),
    LoopCase("markdown problem", _blocks("## Problem\n", "## Solution\n", 8), "stop", "A sheet of its own making.",
             _HEADER, "## Problem\n\nProve that the square of an odd number is odd.\n\n## Solution\n", _CONTENT),
    LoopCase("numbered problems", "".join(f"\n\nProblem {i}: {q}\nSolution: {a}" for i, (q, a) in enumerate(_QUESTIONS,
             2)), "stop", "Only the first was asked.", _HEADER, "Problem 1: Who wrote Faust?\nSolution:", _CONTENT),
    LoopCase("in the thinking", _blocks("Q:", "A:", 9), "stop", "The same in the thinking.", _HEADER,
             "Q: Who wrote Faust?\nA: Goethe.\n\nQ: Who wrote Emma?\nA:"),
    LoopCase("two blocks of its own", _blocks("Question:", "Answer:", 2, " Whitcomb Judson."), "quiet",
             "Two is below the bar of four.", (), _QA_PROMPT, _CONTENT),
    LoopCase("flash cards as asked", _blocks("Question:", "Answer:", 10), "quiet", "That is what was asked for.", (),
             _CARDS, _CONTENT),
    LoopCase("headers not in the prompt", _blocks("Question:", "Answer:", 10), "quiet",
             "A quiz, in a form the prompt does not have.", (), "Make a quiz with ten questions and answers.", _CONTENT),
    LoopCase("restates the question once", "Question: Who invented the zip?\n\n" + ANSWERS[1], "quiet",
             "Many answers begin so.", (), _QA_PROMPT, _CONTENT),
    LoopCase("answers four questions", "".join(f"Question {i}: {q}\nAnswer: {a}\n\n" for i, (q, a) in
             enumerate(_QUESTIONS[:5], 1)), "quiet", "All of them are in the prompt.", (),
             "".join(f"Question {i}: {q}\n" for i, (q, _) in enumerate(_QUESTIONS[:5], 1)), _CONTENT),
)  # fmt: skip

# ------------------------------------------------------------------------------------- what the prompt explains
_CLASS: Final = "I will not talk in class.\n"
_FACTS: Final = " ".join(
    f"{a} is {b}'s ancestor." for a, b in zip(_PEOPLE * 4, (*_PEOPLE[5:], *_PEOPLE[:5]) * 4, strict=True)
)
_CODE: Final = "".join(f"    case {i}: return handlers[{i}](request, response);\n" for i in range(60))
_RULE: Final = (
    "Each guest sits next to at least one person who speaks the same language and at most one who plays chess."
)
PROMPT: Final = (
    LoopCase("lines as asked", _CLASS * 50, "quiet", "Fifty were asked for.", (),
             "Write 'I will not talk in class.' fifty times, one per line.", _CONTENT),
    LoopCase("hello as asked", "hello " * 100, "quiet", "A hundred were asked for.", (),
             "Say the word hello 100 times.", _CONTENT),
    LoopCase("lines not asked", _CLASS * 50, "stop", "Nobody asked for fifty lines.", _EXACT,
             "What should a polite pupil promise? One line, please.", _CONTENT),
    LoopCase("far more than asked", _CLASS * 1_500, "stop", "Twenty were asked for.", _EXACT,
             "Write 'I will not talk in class.' twenty times.", _CONTENT),
    LoopCase("echo of the question", "What is the capital of Peru?\n" * 200, "stop",
             "The prompt holds it once, and did not ask for it again.", ("exact", "near", "recurrence", "self_prompt"),
             "What is the capital of Peru?", _CONTENT),
    LoopCase("rule quoted between thoughts", "\n".join(f'{text} The rule again: "{_RULE}"' for text in ENGLISH[:8]),
             "quiet", "A rule of the prompt, quoted where it is needed.", (), "Seat eight guests. " + _RULE),
    LoopCase("facts listed again", "The facts are: " + _FACTS, "quiet", "They stand in the prompt.", (),
             "Here is a family. " + _FACTS + " Who is related to whom?"),
    LoopCase("code printed again", "```c\n" + _CODE.replace("handlers", "routes") + "```\n", "quiet",
             "An edit of code that the user sent.", (), "Rename handlers to routes:\n```c\n" + _CODE + "```", _CONTENT),
    LoopCase("grid as given", "\n".join(" ".join("0" for _ in range(40)) for _ in range(40)), "quiet",
             "The prompt's own empty grid.", (), "Fill the grid:\n" + "\n".join("0 " * 39 + "0" for _ in range(40))),
    LoopCase("translated lines", "\n".join(f"{i}. Der Artikel {i} bleibt unverändert." for i in range(1, 31)), "quiet",
             "Thirty lines came in, thirty go out.", (), "Translate into German:\n" + "\n".join(
             f"{i}. Article {i} remains unchanged." for i in range(1, 31)), _CONTENT),
)  # fmt: skip

# --------------------------------------------------------------------------------------- code, tables, verse
_DAYS: Final = (
    ("first", "A partridge in a pear tree"), ("second", "Two turtle doves"), ("third", "Three French hens"),
    ("fourth", "Four calling birds"), ("fifth", "Five gold rings"), ("sixth", "Six geese a-laying"),
    ("seventh", "Seven swans a-swimming"), ("eighth", "Eight maids a-milking"), ("ninth", "Nine ladies dancing"),
    ("tenth", "Ten lords a-leaping"), ("eleventh", "Eleven pipers piping"), ("twelfth", "Twelve drummers drumming"),
)  # fmt: skip
_CAROL: Final = "\n\n".join(
    f"On the {day} day of Christmas my true love sent to me\n"
    + ",\n".join(gift for _, gift in reversed(_DAYS[: i + 1]))
    for i, (day, _) in enumerate(_DAYS)
)
_FARM: Final = "\n\n".join(
    f"Old MacDonald had a farm, E-I-E-I-O,\nAnd on that farm he had a {animal}, E-I-E-I-O,\nWith a {call}-{call} here "
    f"and a {call}-{call} there,\nHere a {call}, there a {call}, everywhere a {call}-{call},\nOld MacDonald had a farm, "
    "E-I-E-I-O."
    for animal, call in (("cow", "moo"), ("pig", "oink"), ("duck", "quack"), ("horse", "neigh"), ("sheep", "baa"))
)
_REFRAIN: Final = "\n".join(
    f"{line},\n    and the river runs on;"
    for line in (
        "It carried the reeds to the sea", "It mirrored the first of the fires", "The ferryman asked for no coin",
        "Our fathers drew nets at the bend", "The mill has forgotten its wheel", "A bride left her ring on the stone",
        "Two armies drank deep and were gone", "The bishop came down with his bell", "Ice carved a new mouth in the sand",
        "The herons stood grey as the rain", "Someone sang in a language of salt", "The children threw bread from the wall",
        "A lamp went by under the bridge", "The old map is wrong at this place", "They buried the miller upstream",
        "We counted the barges till dusk", "My sister would swim to the isle", "A letter dissolved in the foam",
    )
)  # fmt: skip
_CSV: Final = "name,age,town,score\n" + "".join(
    f"{name},{20 + i * 7 % 40},{town},{i * i % 97}\n"
    for i, (name, town) in enumerate(zip(_PEOPLE * 4, ("Oslo", "Porto", "Ghent", "Graz", "Turku") * 10, strict=False))
)
_GO: Final = "```go\n" + "".join(
    f"\t{name}, err := open{name.title()}(ctx)\n\tif err != nil {{\n\t\treturn err\n\t}}\n"
    for name in ("config", "store", "cache", "queue", "index", "server", "client", "metrics", "tracer", "pool")
) + "```\n"  # fmt: skip
_YAML: Final = "```yaml\n" + "---\n".join(
    f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\nspec:\n  selector:\n    "
    f"app: {name}\n  ports:\n    - port: {port}\n      targetPort: {port}\n"
    for name, port in (("web", 80), ("api", 8080), ("auth", 9000), ("mail", 25), ("search", 9200))
) + "```\n"  # fmt: skip
_SUDOKU: Final = "\n\n".join(
    f"After placing {digit} in row {row}:\n" + "\n".join("5 3 . | . 7 . | . . ." if r != row else
    f"6 . {digit} | 1 9 5 | . . ." for r in range(9))
    for row, digit in ((2, 8), (4, 1), (6, 9))
)  # fmt: skip
VERSE_AND_CODE: Final = (
    LoopCase("twelve days", _CAROL, "quiet", "A cumulative song, as asked.", (),
             "Give me the lyrics of The Twelve Days of Christmas.", _CONTENT),
    LoopCase("old MacDonald", _FARM, "quiet", "Five verses of a children's song.", (), "", _CONTENT),
    LoopCase("psalm with refrain", _REFRAIN, "quiet", "Every second line is the refrain.", (), "", _CONTENT),
    LoopCase("litany", _each(f"Saint {n}, pray for us." for n in (*_PEOPLE, "Agnes", "Brendan", "Clare", "Denis")),
             "quiet", "Sixteen saints.", (), "", _CONTENT),
    LoopCase("haiku", "An empty harbour;\nthe gulls have taken the wind\nand left the water.", "quiet", "Three lines."),
    LoopCase("villanelle lines", "\n\n".join(_RHYME.split("\n")[i % 4] + "\n" + line for i, line in enumerate((
             "I kept the key and lost the door.", "A coin is all the ferry wants.", "My mother hummed it by the stove.",
             "The maps were drawn by men asleep.", "No letter came the whole of May.", "We are the guests of passing rain.",
             "The orchard asks for nothing now.", "And yet the kettle sings at four."))), "quiet",
             "A form that lives on repetition.", (), "", _CONTENT),
    LoopCase("knitting pattern", _each(f"Row {i}: *k{2 + i % 2}, p2; repeat from * to the end." for i in range(1, 13)),
             "quiet", "Twelve rows.", (), "", _CONTENT),
    LoopCase("CSV", _CSV, "quiet", "Forty-eight rows of data.", (), "Make up a CSV with 48 people.", _CONTENT),
    LoopCase("Go errors", _GO, "quiet", "Idiomatic Go.", (), "", _CONTENT),
    LoopCase("YAML services", _YAML, "quiet", "Five services alike but for name and port.", (), "", _CONTENT),
    LoopCase("redrawn board", _SUDOKU, "quiet", "A board drawn three times with a change in each."),
    LoopCase("nop sled", "```asm\n" + "    nop\n" * 40 + "    jmp start\n```\n", "quiet", "Padding in assembly."),
    LoopCase("hex dump", "".join(f"{i * 16:08x}  " + random.Random(i).randbytes(16).hex(" ") + "\n" for i in range(40)),
             "quiet", "Every row differs."),
    LoopCase("DNA", "".join(random.Random(7).choices("ACGT", k=1_200)), "quiet", "Four letters, no order."),
    LoopCase("guitar tab", "".join(f"{s}|---0---2---3---|---0---2---3---|---3---2---0---|\n" for s in "eBGDAE"),
             "quiet", "Six strings.", (), "", _CONTENT),
    LoopCase("SQL inserts", "```sql\n" + "".join(f"INSERT INTO towns (id, name, people) VALUES ({i}, '{town}', "
             f"{i * 7919 % 90_001});\n" for i, town in enumerate(("Oslo", "Porto", "Ghent", "Graz", "Turku", "Brno",
             "Lviv", "Split", "Nantes", "Leeds", "Malmö", "Vigo"), 1)) + "```\n", "quiet", "Twelve rows.", (), "",
             _CONTENT),
    LoopCase("unit tests", "```python\n" + "".join(f"def test_{name.lower()}() -> None:\n    assert greet({name!r}) == "
             f"'Hello, {name}!'\n\n\n" for name in _PEOPLE) + "```\n", "quiet", "One test for each name.", (), "",
             _CONTENT),
    LoopCase("matrix steps", "\n\n".join("\\begin{pmatrix} 1 & " + f"{a} & {b} \\\\ 0 & 1 & {b - a} \\\\ 0 & 0 & {a * b} "
             "\\end{pmatrix}" for a, b in ((2, 5), (2, 3), (0, 3), (0, 1), (0, 0))), "quiet", "Gaussian elimination."),
    LoopCase("chess game", "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7 6. Re1 b5 7. Bb3 d6 8. c3 O-O 9. h3 Nb8 "
             "10. d4 Nbd7 11. c4 c6 12. cxb5 axb5 13. Nc3 Bb7 14. Bg5 b4 15. Nb1 h6", "quiet", "An opening.", (), "",
             _CONTENT),
    LoopCase("calendar", "Mo Tu We Th Fr Sa Su\n" + "\n".join(" ".join(f"{d:2}" for d in range(w, min(w + 7, 31)))
             for w in range(1, 31, 7)), "quiet", "A month.", (), "", _CONTENT),
    LoopCase("dictionary of Han", _each(f"{c}：部首为“{r}”，常用字。" for c, r in zip("河湖海洋江溪流波浪沙", "水" * 10, strict=True)),
             "quiet", "Ten short entries.", (), "", _CONTENT),
    LoopCase("kanji readings", _each(f"{k}（{y}）は「{m}」という意味です。" for k, y, m in (("山", "やま", "高い地形"), ("川", "かわ",
             "水の流れ"), ("空", "そら", "上の広がり"), ("花", "はな", "植物の咲くところ"), ("雪", "ゆき", "白く降るもの"), ("道", "みち",
             "歩くところ"))), "quiet", "Six entries of a word list.", (), "", _CONTENT),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------- patience
PATIENCE: Final = (
    _verbatim("impatient", _MATH, 4, "Five copies are needed at this length; 0.7 makes it four.",
              settings={"patience": 0.7}),
    _verbatim("patient, but enough", _MATH, 40, "Forty copies are too many for anybody.", settings={"patience": 2.0}),
    LoopCase("patient", _MATH * 7, "quiet", "Seven copies, where ten are needed.", settings={"patience": 2.0}),
    LoopCase("very patient", "Hmm. " * 60, "quiet", "Sixty words, where a hundred are needed.",
             settings={"patience": 5.0}),
)  # fmt: skip

CASES: Final = (
    *RUNS, *VERBATIM, *NEAR, *COUNTERS, *CIRCULAR, *SELF_PROMPT, *PROMPT, *VERSE_AND_CODE, *PATIENCE
)  # fmt: skip
