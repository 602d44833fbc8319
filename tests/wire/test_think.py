from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Channel
from guard.wire.think import LONGEST_LEAD, ThinkSplitter, ThinkStart, split_output, start_state

REASONING, CONTENT, AUTO, NATIVE = ThinkStart.REASONING, ThinkStart.CONTENT, ThinkStart.AUTO, ThinkStart.NATIVE


def split(start: ThinkStart, pieces: Sequence[str]) -> tuple[str, str]:
    splitter = ThinkSplitter(start)
    texts = {Channel.REASONING: "", Channel.CONTENT: ""}
    answered = [piece for text in pieces for piece in splitter.feed(text)] + splitter.flush()
    for channel, text in answered:
        assert text
        assert not (channel is Channel.REASONING and texts[Channel.CONTENT])
        texts[channel] += text
    return texts[Channel.REASONING], texts[Channel.CONTENT]


@pytest.mark.parametrize(
    ("start", "text", "reasoning", "content"),
    [
        (REASONING, "so\n</think>\n\n42", "so\n", "\n\n42"),
        (REASONING, "<think>\nso</think>42", "\nso", "42"),
        (REASONING, " \n<think>so</think>42", " \nso", "42"),
        (REASONING, "so <think> so</think>42", "so <think> so", "42"),
        (REASONING, "</think>42", "", "42"),
        (REASONING, "so</think>a</think><think>b", "so", "a</think><think>b"),
        (REASONING, "never closed", "never closed", ""),
        (REASONING, "almost </thin", "almost </thin", ""),
        (REASONING, "<thi", "<thi", ""),
        (REASONING, "<think><think>a</think>b", "<think>a", "b"),
        (REASONING, "a < b </ c </</think>d", "a < b </ c </", "d"),
        (REASONING, "", "", ""),
        (REASONING, " " * (LONGEST_LEAD + 1) + "<think>", " " * (LONGEST_LEAD + 1) + "<think>", ""),
        (AUTO, "<think>so</think>42", "so", "42"),
        (AUTO, "\n <think>so", "\n so", ""),
        (AUTO, " " * LONGEST_LEAD + "<think>so", " " * LONGEST_LEAD + "so", ""),
        (AUTO, " " * (LONGEST_LEAD + 1) + "<think>so", "", " " * (LONGEST_LEAD + 1) + "<think>so"),
        (AUTO, "so</think>42", "", "so</think>42"),
        (AUTO, "a <think>so</think>", "", "a <think>so</think>"),
        (AUTO, "<thin", "", "<thin"),
        (AUTO, "<thinking>", "", "<thinking>"),
        (AUTO, "  ", "", "  "),
        (AUTO, "<THINK>a", "", "<THINK>a"),
        (CONTENT, "<think>so</think>42", "", "<think>so</think>42"),
        (NATIVE, "<think>so</think>42", "", "<think>so</think>42"),
    ],
)
def test_table(start: ThinkStart, text: str, reasoning: str, content: str) -> None:
    assert split(start, [text]) == (reasoning, content)
    assert split(start, list(text)) == (reasoning, content)


TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think>", "<thi", " ", "\n", "a", "é", " " * 200]), max_size=12
)


@given(st.sampled_from(ThinkStart), TEXTS, st.data())
def test_the_cuts_do_not_matter_and_only_tags_go(start: ThinkStart, parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    reasoning, content = split(start, pieces)
    assert (reasoning, content) == split(start, [text])
    lead = len(text) - len(text.lstrip())
    assert text in {
        reasoning + content,
        reasoning + "</think>" + content,
        reasoning[:lead] + "<think>" + reasoning[lead:] + content,
        reasoning[:lead] + "<think>" + reasoning[lead:] + "</think>" + content,
    }


@given(st.sampled_from(ThinkStart), TEXTS)
def test_little_is_held_back(start: ThinkStart, parts: list[str]) -> None:
    splitter = ThinkSplitter(start)
    fed = answered = 0
    for part in parts:
        fed += len(part)
        answered += sum(len(text) for _, text in splitter.feed(part))
        assert fed - answered <= LONGEST_LEAD + len("<think></think>")


def test_plain_text_leaves_at_once() -> None:
    splitter = ThinkSplitter(REASONING)
    undecided = [splitter.undecided]
    assert splitter.feed("a") == [(Channel.REASONING, "a")]
    assert [*undecided, splitter.undecided] == [True, False]
    assert splitter.feed("b") == [(Channel.REASONING, "b")]
    assert splitter.feed("c</th") == [(Channel.REASONING, "c")]
    assert splitter.feed("e") == [(Channel.REASONING, "</the")]
    assert splitter.feed("") == []


def test_flush_in_the_middle_keeps_the_state() -> None:
    splitter = ThinkSplitter(REASONING)
    splitter.feed("a</th")
    assert splitter.flush() == [(Channel.REASONING, "</th")]
    assert splitter.flush() == []
    assert splitter.feed("ink></think>b") == [(Channel.REASONING, "ink>"), (Channel.CONTENT, "b")]


def test_flush_of_nothing_decides_nothing() -> None:
    splitter = ThinkSplitter(AUTO)
    assert splitter.flush() == []
    assert splitter.undecided
    assert splitter.feed("<think>a") == [(Channel.REASONING, "a")]


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("Qwen/QwQ-32B", REASONING),
        ("qwq", REASONING),
        ("qwq:32b-q8_0", REASONING),
        ("Qwen/QwQ-32B-Preview", CONTENT),
        ("qwq:32b-preview-q4_K_M", CONTENT),
        ("Qwen/Qwen3-8B", AUTO),
        ("", AUTO),
    ],
)
def test_start_state(model: str, start: ThinkStart) -> None:
    assert start_state(model) is start


def test_start_state_of_an_operator() -> None:
    starts = {"House/*": NATIVE, "*": CONTENT}
    assert start_state("house/qwq", starts) is NATIVE
    assert start_state("other", starts) is CONTENT


@pytest.mark.parametrize(
    ("text", "model", "reasoning", "content"),
    [
        ("so</think>42", "", "so", "42"),
        ("<think>so</think>42", "", "so", "42"),
        ("<think>so", "", "so", ""),
        ("42", "", "", "42"),
        ("42", "qwq-32b", "", "42"),
        ("a <think> b </think> c", "", "", "a <think> b </think> c"),
        ("so</think>a<think>", "", "so", "a<think>"),
        ("so</think>42", "QwQ-32B-Preview", "", "so</think>42"),
        ("", "", "", ""),
    ],
)
def test_split_output(text: str, model: str, reasoning: str, content: str) -> None:
    assert split_output(text, model) == (reasoning, content)
