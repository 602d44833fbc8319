from __future__ import annotations

import pytest

from detectors._prose import QUOTED, Piece, Prose
from guard.testing import chunks


def read(text: str, size: int = 16) -> list[Piece]:
    prose = Prose()
    pieces = []
    for piece in chunks(text, size):
        pieces += prose.feed(piece)
        assert prose.held + len(prose.waiting) <= len(text)
    pieces += prose.finish()
    assert prose.held == len(text)
    return pieces


def kept(text: str, size: int = 16) -> str:
    return "".join(piece.text for piece in read(text, size))


@pytest.mark.parametrize("size", [1, 7, 16, 1_000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plain prose, nothing else.", "Plain prose, nothing else."),
        ("Use the key `用户名` and so on.", "Use the key  and so on."),
        ('See:\n```json\n{"a": "Hola"}\n```\nEnd.', "See:\n\nEnd."),
        ("- item\n  ```\n  code\n  ```\n- end", "- item\n  \n- end"),
        ("so $\\sin\\theta = \\frac{a}{b}$ is", "so  is"),
        ("so $x$, $ y $ and $$z$$ are", "so ,  and  are"),
        ("so \\[ \\int_0^1 \\] and \\(\\cos x\\) are", "so  and  are"),
        ("\\begin{aligned} x &= y \\\\ z \\end{aligned} done", " done"),
        ("is \\boxed{\\text{北京}} as", "is  as"),
        ("is \\frac{a}{b}c and \\alpha too", "is c and  too"),
        ("See https://ru.wikipedia.org/wiki/Заглавная for more", "See  for more"),
        ("or www.example.org.", "or "),
        ("mail john.doe@пример.example.org now", "mail  now"),
        ('a <b class="x">bold</b> word', "a bold word"),
        # unclosed openers recover
        ("It costs $5 for adults and $3 for children.", "It costs $5 for adults and $3 for children."),
        ("A lone ` here\nand on", "A lone ` here\nand on"),
        ("if x < y and y<z then", "if x < y and y<z then"),
        ("a \\[ b\n\nc", "a \n\nc"),
        ("the mark ``` in a line", "the mark ``` in a line"),
        ("an \\emph{open one\nand on", "an {open one\nand on"),
        ("a@b and @c", "a@b and @c"),
        ("100\\% sure", "100\\% sure"),
    ],
)
def test_what_is_kept(text: str, expected: str, size: int) -> None:
    assert kept(text, size) == expected


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('He said "bonjour" twice', ["bonjour"]),
        ("the way (道) and （道）", ["道", "道"]),
        ("«да» “oui” 「はい」", ["да", "oui", "はい"]),
        ('He said "this and left.\nNext', []),
        ('He said "' + "word " * 40 + "and left", []),
        ("(" + "word " * 20 + ")", []),
    ],
)
def test_quotations_and_parentheses_weigh_less(text: str, quoted: list[str]) -> None:
    assert [piece.text for piece in read(text) if piece.weight == QUOTED] == quoted


TEXT = (
    "Let `x` be (as in French) $x^2$, see https://example.org or \\(y\\).\n```\ncode\n```\n"
    'It costs $5; "so what", he said. \\[ z \\] 因此 <b>answer</b> \\boxed{\\text{北京}} 然后我们 [1]\n'
) * 4


@pytest.mark.parametrize("size", [1, 3, 16, 100, 2_000])
def test_pieces_stand_where_they_say(size: int) -> None:
    for text, start, _ in read(TEXT, size):
        assert TEXT[start : start + len(text)] == text


def test_words_are_not_cut() -> None:
    words = {
        word for text, _, _ in read("several words of différente length, isn't it. " * 20, 5) for word in text.split()
    }
    assert (
        words == {"several", "words", "of", "différente", "length,", "length", ",", "isn't", "it.", "it", "."} & words
    )
    assert {"several", "différente", "isn't"} <= words


def test_characters_of_scripts_without_spaces_do_not_wait() -> None:
    prose = Prose()
    assert [piece.text for piece in prose.feed("然后我们")] == ["然后我们"]
    assert prose.waiting == ""


@pytest.mark.parametrize("opener", ["`", "$", "(", '"', "<a ", "\\text{", "https://", "x" * 60 + "@"])
def test_what_waits_is_bounded(opener: str) -> None:
    prose = Prose()
    longest = 0
    for piece in chunks(opener + "word " * 400 if opener != "https://" else opener + "w" * 2_000, 16):
        prose.feed(piece)
        longest = max(longest, len(prose.waiting))
    assert longest <= 350


def test_mathematics_that_is_never_closed_recovers() -> None:
    assert kept("a \\[ " + "b " * 1_500 + "words").endswith("words")


def test_a_start_other_than_zero() -> None:
    prose = Prose(100)
    assert prose.feed("some words. ") == [Piece("some words. ", 100)]
    assert prose.held == 112
