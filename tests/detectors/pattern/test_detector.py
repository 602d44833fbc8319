from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors._shadow import shadow
from detectors.pattern import Pattern, PatternRule, PatternScanner, PatternSettings, WordList
from guard.contract import Channel, Context, DetectorError, Finding, Lane, Span
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Event, Mask, TextReceived, UpstreamEnded
from guard.testing import assert_detector_contract, scan
from tests.support.engine import CONTENT, REASONING, plan_of, play, rechunked, said

WORDS = ("zounds", "gadzooks", "egad sir", "笨蛋", "пёс", "c++")
LANE = Lane(0, Channel.CONTENT)


def detector(*words: str, **settings: object) -> Pattern:
    made = Pattern("pattern", PatternSettings(words={"oath": words or WORDS}, **settings))  # type: ignore[arg-type]
    made.load()
    return made


MASKING = detector()


def found(text: str, made: Pattern | None = None) -> list[str]:
    return [text[finding.span.start : finding.span.end] for _, finding in scan(made or detector(), text)]


DISGUISES = (
    "Zounds",
    "ｚｏｕｎｄｓ",
    "𝔃𝓸𝓾𝓷𝓭𝓼",
    "zоunds",
    "z\u200bo\u200bu\u200bnds",
    "zo\u0336u\u0336n\u0336ds\u0336",
    "z\u2800o\u2800u\u2800n\u2800d\u2800s",
    "zou\U000e0041nds",
    "mbhaqf",
    base64.b64encode(b"zounds, my lord").decode(),
    base64.b64encode(base64.b64encode("zоunds, sir".encode())).decode(),
    b"zounds".hex(),
    "my%20zounds%21",
    "\u202esdnuoz\u202c",
)


@pytest.mark.parametrize("disguised", DISGUISES)
def test_finds_a_word_in_every_disguise(disguised: str) -> None:
    text = f"He said: {disguised} and left."
    (match,) = found(text)
    assert match == disguised.removesuffix("\u202c")


@pytest.mark.parametrize("disguised", DISGUISES)
def test_is_masked_whole_at_every_two_way_split(disguised: str) -> None:
    text = f"He said: {disguised} and left."
    for cut in range(len(text) + 1):
        pieces = (text[:cut], text[cut:])
        events: list[Event] = [TextReceived(CONTENT, piece) for piece in pieces if piece]
        plan = plan_of(MASKING, actions={"pattern": Mask("[x]")})
        commands = play(StreamGuard(plan, Context()), [*events, ChoiceFinished(0, "stop"), UpstreamEnded()])
        assert said(commands)[CONTENT].replace("\u202c", "") == "He said: [x] and left."


@pytest.mark.parametrize("text", ["astounding", "zoundsman", "The egad", "plain prose " * 30, "aGVsbG8gd29ybGQ="])
def test_honest_text_passes(text: str) -> None:
    assert found(text) == []


def test_how_it_was_read_is_told() -> None:
    ((_, finding),) = scan(detector(), base64.b64encode(b"zounds".hex().encode()).decode())
    assert finding.detail == {"decoded": "base64/hex"}


def test_decoding_goes_three_layers_deep_and_can_be_left_out() -> None:
    text = b"zounds, my good lord"
    for layer in range(5):
        assert len(found(text.decode())) == (1 if layer <= 3 else 0)
        text = base64.b64encode(text)
    assert found(base64.b64encode(b"zounds").decode(), detector(decode=())) == []
    assert found("mbhaqf", detector(decode=("base64",))) == []


def test_labels_are_those_of_the_settings() -> None:
    settings = PatternSettings(words={"oath": ("zounds",)}, patterns={"number": r"\b\d{3}\b"}, secrets=True)
    made = Pattern("house", settings)
    assert set(made.labels) == {"oath", "number", "secret"}
    assert set(Pattern.labels) == {"secret"}
    assert [(finding.detector, finding.label) for _, finding in scan(made, "zounds 123")] == [
        ("house", "oath"),
        ("house", "number"),
    ]


def test_scores_checks_and_lengths_are_each_rules_own() -> None:
    settings = PatternSettings(
        words={"mild": WordList(words=("zounds",), score=0.3)},
        patterns={
            "card": PatternRule(r"\b\d{4}(?: ?\d{4}){3}\b", check="luhn"),
            "key": PatternRule(r"key=\S+", max_length=12, shadow=False, ignore_case=False),
        },
    )
    text = "zounds 4111 1111 1111 1111 or 4111 1111 1111 1112, KEY=1 key=abcdefghijklmnop"
    got = [
        (finding.label, finding.score, text[slice(*finding.span)]) for _, finding in scan(Pattern("p", settings), text)
    ]
    assert got == [("mild", 0.3, "zounds"), ("card", 0.9, "4111 1111 1111 1111"), ("key", 0.9, "key=abcdefgh")]


def test_what_a_checksum_refuses_does_not_hide_what_follows() -> None:
    made = Pattern("p", PatternSettings(patterns={"card": PatternRule(r"\b\d{4}(?: ?\d{4}){3}\b", check="luhn")}))
    assert found("0001 4111 1111 1111 1111", made) == ["4111 1111 1111 1111"]
    assert found("0001 0002 4111 1111 1111 1111 0003", made) == ["4111 1111 1111 1111"]
    assert found("4111 1111 1111 1111 4111 1111 1111 1111", made) == ["4111 1111 1111 1111"] * 2


def test_in_a_tool_call_jsons_escapes_are_undone_and_masked_whole() -> None:
    made = detector("zounds")
    for word in ("zounds", "\\u007aounds", "z\\u200bounds", "\\nzounds", "zo\\u0075\\u006eds", "\\u006d\\u0062haqf"):
        text = f'send\n{{"text": "so {word} it is", "n": 5}}'
        ((_, finding),) = scan(made, text, lane=Lane(0, Channel.TOOL, 0))
        start, end = finding.span
        assert json.loads(f"{text[:start]}▮{text[end:]}".partition("\n")[2])["text"].strip("\n") in (
            "so ▮ it is",
            "so \n▮ it is",
        )
    assert found("\\u007aounds", made) == []


def test_words_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# oaths\nzounds\n\n  egad sir \n", encoding="utf-8")
    made = Pattern("pattern", PatternSettings(words={"oath": WordList(file=str(file))}))
    assert found("zounds, egad sir", made) == ["zounds", "egad sir"]


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read"), (b"\xff\xfe", "cannot be read"), (b"# x", "lists nothing")]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DetectorError, match=rf"words: oath: .*words\.txt .*{told}"):
        Pattern("pattern", PatternSettings(words={"oath": WordList(file=str(file))})).load()


def test_only_what_may_become_a_match_is_held() -> None:
    scanner = detector(decode=()).open(LANE, Context())
    # A word's left neighbour is part of what is looked for, so it waits too; so does the last letter, for its accents.
    assert scanner.feed("hello there, zo").settled == 12
    assert scanner.feed("ology is fun!").settled == 27
    assert scanner.feed(" egad ").settled == 28
    assert scanner.feed("me. x").settled == 37


def test_a_match_that_began_in_settled_text_is_reported_for_the_rest() -> None:
    scanner = detector().open(LANE, Context())
    scanner.feed("oh zou")
    assert scanner.settle().settled == 6
    (finding,) = (*scanner.feed("nds and ").findings, *scanner.settle().findings)
    assert (finding.span, finding.evidence) == (Span(6, 9), Span(3, 9))


def test_a_match_that_began_in_the_history_is_reported_for_the_rest() -> None:
    scanner = detector().open(LANE, Context(), history="zounds zou")
    findings: list[Finding] = [*scanner.feed("nds and ").findings, *scanner.settle().findings]
    assert [(finding.span, finding.evidence) for finding in findings] == [(Span(10, 13), Span(7, 13))]
    assert isinstance(scanner, PatternScanner)
    assert scanner.peaks() == {"oath": 0.9}


def test_half_a_surrogate_pair_is_a_character_like_any() -> None:
    assert found("zounds\ud83d zounds") == ["zounds", "zounds"]


def test_load_comes_before_open() -> None:
    with pytest.raises(DetectorError, match="load"):
        Pattern("pattern", PatternSettings(words={"oath": WORDS})).open(LANE, Context())


def test_keeps_the_contract() -> None:
    settings = PatternSettings(
        words={"oath": WORDS, "as_is": WordList(words=("IT",), shadow=False, ignore_case=False)},
        patterns={"key": PatternRule(r"key=\S+", max_length=20), "line": r"(?m)^#.{1,20}$"},
        secrets=True,
    )
    disguised = "z\u200bounds ｚｏｕｎｄｓ \u202esdnuoz\u202c zo\u2800unds egad   sir! #x\n# a line\nkey=abc IT it c++"
    encoded = f" 他是笨蛋 ПЁС {base64.b64encode(b'egad sir').decode()} {b'zounds'.hex()} a%20zounds mbhaqf"
    escaped = json.dumps(disguised) + "\\u007aounds \\\\u \\" + json.dumps(encoded, ensure_ascii=False)
    for lane in (LANE, Lane(0, Channel.TOOL, 0)):
        assert_detector_contract(
            Pattern("pattern", settings),
            [disguised, encoded, escaped, (disguised + encoded) * 3, "plain words " * 60, "zou" * 40],
            lane=lane,
        )


PARTLY = (base64.b64encode(b"oh zounds").decode(), b"gadzooks".hex(), "%20zounds", "\u202esdnuoz\u202c")
PARTS = (*"xsоＺё蛋笨 .", "\u200b", "\u0301", "\u2800", "zo", "und", "zounds", "egad ", "sir", "some plain words, ")
PIECES = st.sampled_from((*WORDS, *PARTLY, *PARTS))
TEXTS = st.lists(PIECES, max_size=40).map("".join)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(TEXTS, SIZES)
def test_no_listed_word_leaves_unmasked_however_it_arrives(text: str, sizes: list[int]) -> None:
    """Through the engine, beside what the findings in the whole text say, and beside a plain search."""
    outputs = []
    for cut in ([1], [len(text) or 1], sizes):
        plan = plan_of(MASKING, actions={"pattern": Mask("▮▮▮▮▮▮▮▮")})
        events: list[Event] = [TextReceived(CONTENT, text), ChoiceFinished(0, "stop"), UpstreamEnded()]
        outputs.append(said(play(StreamGuard(plan, Context()), rechunked(events, cut))).get(CONTENT, ""))
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0] == masked(text)
    for word in ("zounds", "gadzooks", "пec"):
        # A mask may leave a part of a longer word as a word of its own.
        assert not re.search(rf"(?<![\w▮]){word}(?![\w▮])", shadow(outputs[0]))


def masked(text: str) -> str:
    hidden: set[int] = set()
    starts: set[int] = set()
    end = 0
    for start, stop in sorted(finding.span for _, finding in scan(MASKING, text)):
        if start >= end:
            starts.add(start)
        hidden.update(range(start, stop))
        end = max(end, stop)
    return "".join("▮▮▮▮▮▮▮▮" * (at in starts) + char * (at not in hidden) for at, char in enumerate(text))


@given(st.lists(st.tuples(st.sampled_from((REASONING, CONTENT)), TEXTS), max_size=5), SIZES)
def test_lanes_taken_up_again_keep_their_masks(segments: list[tuple[Lane, str]], sizes: list[int]) -> None:
    plan = plan_of(MASKING, actions={"pattern": Mask("▮▮▮▮▮▮▮▮")})
    events: list[Event] = [
        *(TextReceived(lane, text) for lane, text in segments),
        ChoiceFinished(0, "stop"),
        UpstreamEnded(),
    ]
    whole = said(play(StreamGuard(plan, Context()), events))
    assert whole == said(play(StreamGuard(plan, Context()), rechunked(events, sizes)))
    for text in whole.values():
        assert "zounds" not in text.replace("\u200b", "").lower().split()
