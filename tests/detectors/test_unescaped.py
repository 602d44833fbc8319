from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors._unescaped import ToolScanner, Unescaped
from detectors.pattern import Pattern, PatternScanner, PatternSettings
from guard.contract import Channel, Context, Lane, Span
from tests.support.engine import rechunk

TEXTS = st.text(st.sampled_from('ab\\\\\\u0061fn"/é'), max_size=60)
SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def read(pieces: list[str]) -> tuple[str, list[tuple[int, int]]]:
    view = Unescaped()
    said = ""
    for piece in pieces:
        said += view.take(piece)
        assert view.start(len(said)) == view.end(len(said)) <= len("".join(pieces))
    said += view.settle()
    return said, [(view.start(at), view.end(at + 1)) for at in range(len(said))]


def joined(text: str) -> str:
    """With surrogates that make a pair made one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@given(st.text(max_size=40))
def test_undoes_what_json_does(text: str) -> None:
    for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert joined(read([escaped])[0]) == joined(f'"{text}"')


@given(TEXTS, SIZES)
def test_does_not_depend_on_the_chunks(text: str, sizes: list[int]) -> None:
    assert read(rechunk(text, sizes)) == read([text])


@given(TEXTS)
def test_every_character_comes_from_where_it_says(text: str) -> None:
    said, sources = read([text])
    assert [end for _, end in sources] == [start for start, _ in sources[1:]] + [len(text)] * bool(said)
    assert all(text[start] == char for char, (start, end) in zip(said, sources, strict=True) if end - start == 1)


@pytest.mark.parametrize(
    ("raw", "said"),
    [(r"\u0041\n", "A\n"), (r"\\u0041", r"\u0041"), (r"\u00g1 \x", r"\u00g1 \x"), ("\\", "\\"), (r"\u12", r"\u12")],
)
def test_what_is_no_escape_stands_for_itself(raw: str, said: str) -> None:
    assert read([raw])[0] == said


def test_what_is_not_whole_waits() -> None:
    view = Unescaped()
    assert view.take(r"a\u00") == "a"
    assert view.start(1) == 1
    assert view.take("41b") == "Ab"
    assert (view.start(1), view.end(2)) == (1, 7)
    view.forget(2)
    assert (view.start(2), view.end(3)) == (7, 8)


def test_a_tool_call_is_read_as_it_says_and_told_of_as_it_stands() -> None:
    made = detector()
    text = r'send {"to": "z\u006funds\n", "x": "zo'
    scanner = made.open(Lane(0, Channel.TOOL, 0), Context(), text)
    assert isinstance(scanner, ToolScanner)
    (finding,) = (*scanner.feed(r"\u0075nds \u00").findings, *scanner.settle().findings)
    start, end = len(text), len(text) + len(r"\u0075nds")
    assert (finding.span, finding.evidence) == (Span(start, end), Span(start - 2, end))
    assert scanner.peaks() == {"oath": 0.9}
    assert scanner.settle().settled == len(text) + len(r"\u0075nds \u00")
    assert isinstance(made.open(Lane(0, Channel.CONTENT), Context()), PatternScanner)


def test_what_is_long_past_is_forgotten() -> None:
    scanner = detector().open(Lane(0, Channel.TOOL, 0), Context())
    assert isinstance(scanner, ToolScanner)
    for _ in range(100):
        scanner.feed("plain words, " * 40)
    assert len(scanner._text._starts) < 2 * 8_192


def detector() -> Pattern:
    made = Pattern("pattern", PatternSettings(words={"oath": ("zounds",)}))
    made.load()
    return made
