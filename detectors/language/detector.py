"""Finds text in a language or script that nobody asked for.

    raw text   Let me check the result. Теперь нужно проверить, что сумма всех ...
               `Prose` leaves code, mathematics, addresses out; its words go to
                 `Foreign`             unexpected scripts: leak, switch
                 `Latin`               Latin where only other scripts are expected: leak, switch
                 `ChineseInJapanese`   Han against Han: switch
                 `Windows`             same script, other language: switch
                 `Variant`             simplified against traditional Chinese, if asked for

What is expected: the languages of the prompt and those it names ("answer in French"), those of the policy, and every
letter that stands in the prompt. Where the prompt is too short to tell, the first 120 characters of prose in the
response do, and are not judged. Everything is decided at absolute multiples of 16 characters, and at the end.

Text is held from where undecided evidence starts, at most 200 characters. A leak scores 0.5, a switch 0.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, Literal

from detectors._grid import Grid
from detectors._prose import Piece, Prose
from detectors.language.evidence import Alarm, Veto, Word, words
from detectors.language.expected import Expected, expected_in, languages_of
from detectors.language.foreign import Foreign
from detectors.language.han import ChineseInJapanese
from detectors.language.identify import LANGUAGES, Identifier, load_identifier
from detectors.language.latin import Latin
from detectors.language.names import scripts_named_by
from detectors.language.scripts import UNSPACED, Script, scripts_of
from detectors.language.variant import Spelling, Variant
from detectors.language.veto import load_lingua
from detectors.language.windows import Windows
from guard.contract import STOP, WARN, Context, DetectorError, Finding, Lane, Report, Span, Stability

_STEP: Final = 16
_HELD: Final = 200
_PROMPTS: Final = 32
"""Prompts whose languages are remembered: a response has several lanes."""
_GLOSS: Final = 8
"""Longest word in quotation marks or parentheses that is taken for a mention: "the sign 道 (dào)"."""
_BEGINNING: Final = 120
"""Characters of prose that tell the language of a response whose prompt does not."""


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """What an operator may change."""

    expect: tuple[str, ...] = ("prompt",)
    """Languages a response may be in: ISO 639-1 codes, and `prompt` for those the prompt is in or asks for."""
    allow: tuple[str, ...] = ("en",)
    """Languages that are let pass besides."""
    deny: tuple[str, ...] = ()
    """Languages that are not let pass even if the prompt is in them or asks for them."""
    variant: Literal["", "prompt", "simplified", "traditional"] = ""
    """Spelling in which Chinese is expected; the other is reported as `script_variant`. By default neither is."""
    veto: Literal["", "lingua"] = ""
    """`lingua` asks a second model before a switch within one script is reported. Needs `pip install qwq-guard[lingua]`
    and some hundreds of megabytes."""

    def __post_init__(self) -> None:
        unknown = sorted({*self.expect, *self.allow, *self.deny} - LANGUAGES - {"prompt"})
        if unknown:
            raise ValueError(f"unknown language {', '.join(unknown)}; known are prompt, {', '.join(sorted(LANGUAGES))}")
        if not self.expect:
            raise ValueError("expect must name a language, or `prompt`")
        if both := sorted({*self.expect, *self.allow} & {*self.deny}):
            raise ValueError(f"{', '.join(both)} is both expected or allowed and denied")


class Language:
    """Text that leaves the language of the conversation."""

    Settings: ClassVar[type] = LanguageSettings
    labels: ClassVar[Mapping[str, str]] = {
        "leak": "a few letters of a script that is not expected",
        "switch": "the text goes on in another language",
        "script_variant": "Chinese in the spelling that is not expected (only with the setting `variant`)",
    }
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: LanguageSettings) -> None:
        self.name = name
        self.settings = settings
        self._identifier: Identifier | None = None
        self._veto: Veto | None = None
        self._expected = lru_cache(_PROMPTS)(self._read_prompt)

    def load(self) -> None:
        """Load the model. Raises `DetectorError` if it, or its binding, is missing."""
        if self._identifier is None:
            self._identifier = load_identifier(self.name)
        if self.settings.veto and self._veto is None:
            self._veto = load_lingua(self.name)

    def open(self, lane: Lane, context: Context, history: str = "") -> LanguageScanner:
        expected = self._expected(context.prompt)
        spelling = expected.spelling if self.settings.variant == "prompt" else self.settings.variant or None
        return LanguageScanner(self.name, self._loaded(), expected, history, spelling=spelling, veto=self._veto)

    def _loaded(self) -> Identifier:
        if self._identifier is None:
            raise DetectorError(f"{self.name}: load() has not been called")
        return self._identifier

    def _read_prompt(self, prompt: str) -> Expected:
        settings = self.settings
        return expected_in(
            prompt,
            self._loaded(),
            named=frozenset(settings.expect + settings.allow) - {"prompt"},
            from_prompt="prompt" in settings.expect,
            denied=frozenset(settings.deny),
        )


class LanguageScanner:
    """One lane. Keeps the words of a window, the prose that is not decided on, and a handful of numbers."""

    __slots__ = (
        "_beginning",
        "_chars",
        "_foreign",
        "_grid",
        "_han",
        "_identifier",
        "_languages",
        "_latin",
        "_name",
        "_prose",
        "_scripts",
        "_settled",
        "_spelling",
        "_variant",
        "_veto",
        "_windows",
        "_words",
    )

    def __init__(
        self,
        name: str,
        identifier: Identifier,
        expected: Expected,
        history: str,
        *,
        spelling: Spelling | None = None,
        veto: Veto | None = None,
    ) -> None:
        self._name = name
        self._identifier = identifier
        self._veto = veto
        self._spelling = spelling
        self._chars = expected.chars
        self._words = expected.words
        self._beginning: list[str] | None = None if expected.settled else []
        self._prose = Prose()
        self._grid = Grid(_STEP)
        self._foreign = Foreign()
        self._settled = 0
        self._expect(expected.languages)
        if history:
            self.feed(history)
            self.settle()

    def feed(self, delta: str) -> Report:
        pieces = self._grid.cut(delta)
        if not pieces:
            return Report(self._settled)
        findings: list[Finding] = []
        end = self._grid.end - sum(map(len, pieces))
        for piece in pieces:
            end += len(piece)
            self._take(self._prose.feed(piece), end, findings)
        return Report(self._settled, findings)

    def settle(self) -> Report:
        findings: list[Finding] = []
        end = self._grid.fed
        prose = self._prose.feed(self._grid.rest())
        prose += self._prose.finish()
        self._take(prose, end, findings)
        over = self._foreign.close()
        if self._latin is not None:
            over += self._latin.expected()
        self._report(over, end, findings)
        self._settled = end
        return Report(end, findings)

    def peaks(self) -> Mapping[str, float]:
        """The strongest evidence so far on the scale of the scores: 0.5 is where a leak, 0.9 where a switch begins."""
        foreign, latin, han = self._foreign, self._latin, self._han
        leak = max(foreign.leak_peak, latin.leak_peak if latin else 0.0)
        switch = max(
            foreign.switch_peak,
            self._windows.peak,
            latin.switch_peak if latin else 0.0,
            han.peak if han else 0.0,
        )
        return {
            "leak": min(1.0, WARN * leak),
            "switch": min(1.0, STOP * switch),
            "script_variant": WARN * self._variant.peak if self._variant else 0.0,
        }

    def _expect(self, languages: frozenset[str]) -> None:
        self._languages = languages
        self._scripts = scripts_of(languages)
        self._windows = Windows(self._identifier, languages, self._veto)
        self._han = ChineseInJapanese() if "ja" in languages and "zh" not in languages else None
        self._latin = None if Script.LATIN in self._scripts else Latin(self._identifier, self._words)
        self._variant = Variant(self._spelling) if self._spelling and Script.HAN in self._scripts else None

    def _take(self, prose: Sequence[Piece], end: int, findings: list[Finding]) -> None:
        alarms: list[Alarm] = []
        for piece in prose:
            if self._beginning is not None:
                self._begin(piece.text)
            else:
                self._judge(piece, alarms)
        alarms += self._foreign.read(self._prose.held)
        if alarms:
            self._report(alarms, end, findings)
        self._settled = max(self._settled, self._open_since(end))

    def _judge(self, piece: Piece, alarms: list[Alarm]) -> None:
        if piece.weight < 1 and len(piece.text) <= _GLOSS and piece.text.isalpha():
            return
        if self._latin is None and piece.text.isascii():
            for word in words(piece):
                self._expected_word(word, alarms)
            return
        for word in words(piece):
            self._word(word, alarms)

    def _word(self, word: Word, alarms: list[Alarm]) -> None:
        if word.script in self._scripts:
            self._expected_word(word, alarms)
            if self._latin is not None:
                alarms += self._latin.expected()
            if self._variant is not None and word.script is Script.HAN:
                alarms += self._variant.take(word)
            if self._han is not None and word.script in (Script.HAN, Script.KANA):
                alarms += self._han.take(word)
        elif word.script is Script.LATIN:
            if self._latin is not None:
                alarms += self._latin.take(word)
        elif not self._chars.issuperset(word.text):
            alarms += self._foreign.foreign(word)

    def _expected_word(self, word: Word, alarms: list[Alarm]) -> None:
        if not self._foreign.idle:
            alarms += self._foreign.expected(word)
        if word.script not in UNSPACED:
            named = scripts_named_by(word.text)
            if named:
                self._foreign.named(named, word.end)
            alarms += self._windows.take(word)

    def _begin(self, text: str) -> None:
        """Collect prose until it tells the language of the response."""
        assert self._beginning is not None
        self._beginning.append(text)
        beginning = "".join(self._beginning)
        if len(beginning) >= _BEGINNING:
            self._expect(self._languages | languages_of(beginning, self._identifier))
            self._beginning = None

    def _open_since(self, end: int) -> int:
        """Where undecided evidence, or text that is not read yet, starts."""
        statistics = (self._foreign, self._windows, self._han, self._latin, self._variant)
        starts = [evidence.since for evidence in statistics if evidence]
        waiting = self._prose.waiting
        if waiting:
            # Letters that are expected can only prolong evidence that is held already, or begin it at the last one.
            harmless = self._latin is None and waiting.isascii()
            starts.append(end - 1 if harmless else self._prose.held)
        return max(end - _HELD, min((start for start in starts if start is not None), default=end))

    def _report(self, alarms: Sequence[Alarm], end: int, findings: list[Finding]) -> None:
        for alarm in alarms:
            score = STOP if alarm.label == "switch" else WARN
            start = min(max(alarm.start, self._settled), end - 1)
            findings.append(
                Finding(
                    detector=self._name,
                    label=alarm.label,
                    score=score,
                    span=Span(start, max(alarm.end, start + 1)),
                    evidence=Span(alarm.start, alarm.end),
                    detail={"language": alarm.language, "script": alarm.script.value},
                )
            )
