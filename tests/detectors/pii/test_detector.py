from __future__ import annotations

import base64
import json
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pii import Pii, PiiScanner, PiiSettings
from guard.contract import Channel, Context, DetectorError, Finding, Lane, Span
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Event, Mask, TextReceived, UpstreamEnded
from guard.testing import assert_detector_contract, scan
from tests.support.engine import CONTENT, REASONING, plan_of, play, rechunked, said
from tests.support.personal import NATIONAL, NEGATIVE, POSITIVE, WITH_CONTEXT

LANE = Lane(0, Channel.CONTENT)
TOOL = Lane(0, Channel.TOOL, 0)
VALUES = [(label, value) for label, values in POSITIVE.items() for value in values]


@cache
def detector(**settings: object) -> Pii:
    made = Pii("pii", PiiSettings(**settings))  # type: ignore[arg-type]
    made.load()
    return made


def found(text: str, **settings: object) -> list[tuple[str, str]]:
    return [
        (finding.label, text[finding.span.start : finding.span.end]) for _, finding in scan(detector(**settings), text)
    ]


@pytest.mark.parametrize(("label", "value"), VALUES)
def test_finds_each_and_nothing_beside_it(label: str, value: str) -> None:
    assert found(f"It is {value} here.") == [(label, value)]
    assert found(f"{value}") == [(label, value)]
    assert found(f'{{"it": "{value}", "n": 5}}') == [(label, value)]


@pytest.mark.parametrize(("label", "value"), VALUES)
def test_holds_each_until_it_is_known_at_every_two_way_split(label: str, value: str) -> None:
    text = f"It is {value} here, and 3 more."
    start, end = 6, 6 + len(value)
    whole = [finding for _, finding in scan(detector(), text)]
    for cut in range(len(text) + 1):
        scanner = detector().open(LANE, Context())
        report = scanner.feed(text[:cut])
        if not report.findings and start < cut:
            assert report.settled <= start or cut > end + 1
        assert [*report.findings, *scanner.feed(text[cut:]).findings, *scanner.settle().findings] == whole


@pytest.mark.parametrize("label", list(POSITIVE))
def test_there_are_ten_and_more_of_each(label: str) -> None:
    assert len(POSITIVE[label]) >= 10
    assert set(POSITIVE) == set(PiiSettings().labels)


@pytest.mark.parametrize(("label", "value"), [(label, value) for label, some in WITH_CONTEXT.items() for value in some])
def test_a_word_before_it_makes_it_one(label: str, value: str) -> None:
    ((got, number),) = found(f"So the {value}, please")
    assert got == label
    assert value.endswith(number)


@pytest.mark.parametrize("text", NEGATIVE)
def test_lets_pass_what_only_looks_like_it(text: str) -> None:
    assert found(text) == []
    assert found(f"{text} {text}\n{text}") == []


@pytest.mark.parametrize(("label", "value"), list(NATIONAL.items()))
def test_countries_bring_their_numbers(label: str, value: str) -> None:
    country = label.partition("_")[0].lower()
    assert label in [each for each, _ in found(f"It is {value} here.", entities=("CRYPTO",), countries=(country,))]


def test_digits_before_or_after_a_number_do_not_hide_it() -> None:
    for text in (
        "0000 4111 1111 1111 1111",
        "12 4111111111111111",
        "4111 1111 1111 1111 123",
        "5000 4111111111111111 7",
    ):
        assert [label for label, _ in found(text)] == ["CREDIT_CARD"]
    assert found("4111 1111 1111 1111 12/27")[0] == ("CREDIT_CARD", "4111 1111 1111 1111")
    assert found("+44 20 7946 0958 93 and 12")[0] == ("PHONE_NUMBER", "+44 20 7946 0958")
    assert found("XX12 3456 GB29 NWBK 6016 1331 9268 19") == [("IBAN_CODE", "GB29 NWBK 6016 1331 9268 19")]


def test_scripts_without_spaces_end_a_number() -> None:
    assert found("卡号4111111111111111，电话+8613812345678。邮箱ada@example.org吗") == [
        ("CREDIT_CARD", "4111111111111111"),
        ("PHONE_NUMBER", "+8613812345678"),
        ("EMAIL_ADDRESS", "ada@example.org"),
    ]


def test_scores_are_presidios() -> None:
    text = "ada@example.org (212) 555-0123 or phone (212) 555-0123, 536-22-1234"
    assert [finding.score for _, finding in scan(detector(), text)] == [1.0, 0.4, 0.75, 0.5]


def test_thresholds_are_each_labels_own() -> None:
    text = "ada@example.org, (212) 555-0123, 536-22-1234"
    assert [label for label, _ in found(text, threshold=0.6)] == ["EMAIL_ADDRESS"]
    thresholds = {"PHONE_NUMBER": 0.3, "EMAIL_ADDRESS": 1.0}
    made = Pii("pii", PiiSettings(threshold=0.6, thresholds=thresholds))
    assert [finding.label for _, finding in scan(made, text)] == ["EMAIL_ADDRESS", "PHONE_NUMBER"]


def test_what_is_allowed_passes() -> None:
    text = "Write to Help@Example.org or ada@example.org, call 212-555-0123 or 212-555-0124"
    allowed = {"allow": ("help@example.org", "2125550123"), "allow_patterns": ()}
    assert [value for _, value in found(text, **allowed)] == ["ada@example.org", "212-555-0124"]
    by_pattern = {"allow_patterns": (r"(?i).*@example\.org",)}
    assert [value for _, value in found(text, **by_pattern)] == ["212-555-0123", "212-555-0124"]


def test_labels_are_those_of_the_settings() -> None:
    assert list(detector(entities=("SECRET", "UUID"), countries=("uk",)).labels) == [
        "SECRET",
        "UUID",
        "UK_NHS",
        "UK_NINO",
    ]
    assert {"PERSON", "URL", "UK_NHS", *PiiSettings().labels} <= set(Pii.labels)
    assert found("550e8400-e29b-41d4-a716-446655440000", entities=("UUID",)) == [
        ("UUID", "550e8400-e29b-41d4-a716-446655440000")
    ]
    assert found("https://example.org/x 00:1a:2b:3c:4d:5e", entities=("URL", "MAC_ADDRESS")) == [
        ("URL", "https://example.org/x"),
        ("MAC_ADDRESS", "00:1a:2b:3c:4d:5e"),
    ]


def test_of_two_readings_the_more_certain_is_kept() -> None:
    assert found("phone 4012888888881881") == [("CREDIT_CARD", "4012888888881881")]


def test_in_a_tool_call_escapes_are_undone_and_masked_whole() -> None:
    said = json.dumps({"text": 'Mail:\nada@example.org\tand 4111 1111 1111 1111 "x" é', "n": 4111111111111111})
    escaped = said.replace("@", "\\u0040").replace("4111 ", "\\u0034111 ")
    for text in (said, escaped, escaped.replace("a", "\\u0061")):
        scanned = scan(detector(), f"send\n{text}", lane=TOOL)
        assert [finding.label for _, finding in scanned] == ["EMAIL_ADDRESS", "CREDIT_CARD", "CREDIT_CARD"]
        masked = f"send\n{text}"
        for _, finding in reversed(scanned):
            masked = masked[: finding.span.start] + "0" + masked[finding.span.end :]
        assert json.loads(masked.partition("\n")[2].replace('"\\u006e"', '"n"'))["n"] == 0


CARD = "4111 1111 1111 1111"
TOKEN = POSITIVE["SECRET"][1]


@pytest.mark.parametrize(
    ("disguised", "label", "how"),
    [
        (base64.b64encode(b"ada@example.org").decode(), "EMAIL_ADDRESS", "base64"),
        (base64.urlsafe_b64encode(b"~card: 4111111111111111?").decode(), "CREDIT_CARD", "base64"),
        (base64.b64encode(b"mail ada@example.org".hex().encode()).decode(), "EMAIL_ADDRESS", "base64/hex"),
        (b"GB29NWBK60161331926819".hex(), "IBAN_CODE", "hex"),
        ("ada%40example.org", "EMAIL_ADDRESS", "url"),
        ("".join(f"%{ord(char):02x}" for char in CARD), "CREDIT_CARD", "url"),
        (base64.b64encode(TOKEN.encode()).decode(), "SECRET", "base64"),
    ],
)
def test_what_is_encoded_is_found(disguised: str, label: str, how: str) -> None:
    text = f"It says {disguised} here."
    ((_, finding),) = scan(detector(), text)
    assert (finding.label, finding.detail) == (label, {"decoded": how})
    assert text[slice(*finding.span)] == disguised


def test_prose_is_let_go_word_by_word() -> None:
    scanner = detector().open(LANE, Context())
    assert scanner.feed("We know that the first of the").settled == 26
    assert scanner.feed("m is 4 and ").settled == 36
    assert scanner.feed("4111 1111 1111 ").settled == 40


def test_numbers_and_text_without_spaces_are_held_within_bounds() -> None:
    for unit, most in (("12 ", 160), ("4x", 540), ("word", 540), ("1 ", 160), ("A1 ", 160)):
        scanner = detector().open(LANE, Context())
        fed = 0
        for _ in range(1_500):
            fed += len(unit)
            assert fed - scanner.feed(unit).settled <= most


def test_a_number_that_began_in_settled_text_is_reported_for_the_rest() -> None:
    scanner = detector().open(LANE, Context())
    scanner.feed("it is 4111 1111 ")
    assert scanner.settle().settled == 16
    (finding,) = (*scanner.feed("1111 1111 and ").findings, *scanner.settle().findings)
    assert (finding.span, finding.evidence) == (Span(16, 25), Span(6, 25))


def test_a_number_that_began_in_the_history_is_reported_for_the_rest() -> None:
    scanner = detector().open(LANE, Context(), history="ada@example.org 4111 1111 ")
    findings: list[Finding] = [*scanner.feed("1111 1111 and ").findings, *scanner.settle().findings]
    assert [(finding.label, finding.span) for finding in findings] == [("CREDIT_CARD", Span(26, 35))]
    assert isinstance(scanner, PiiScanner)
    assert scanner.peaks()["CREDIT_CARD"] == 1.0
    assert scanner.peaks()["EMAIL_ADDRESS"] == 0.0


LONG = "x" * 700 + " " + "12 34 " * 90 + "ada@example.org " + "9" * 600 + "@example.org"


def test_keeps_the_contract() -> None:
    joined = " ".join(value for _, value in VALUES)
    for lane in (LANE, TOOL):
        assert_detector_contract(
            detector(countries=("uk", "us")),
            [joined, " ".join(NEGATIVE), LONG, "plain words " * 40, "\\u0034\\\\" * 30],
            lane=lane,
        )


def test_load_comes_before_open() -> None:
    with pytest.raises(DetectorError, match="load"):
        Pii("pii", PiiSettings()).open(LANE, Context())


PARTS = (
    "4111 ",
    "1111",
    " ",
    "-",
    "12",
    "GB29",
    "NWBK ",
    "6016 1331 9268 19",
    "@",
    "ada",
    "example.org",
    ".",
    "+",
    "(212) ",
)
SOME = ("plain words, ", "\u200b", "１", "卡", "\n", "AKIA", "IOSFODNN7EXAMPLE", "x" * 60, "1 2 3 ")
TEXTS = st.lists(
    st.one_of(st.sampled_from(PARTS), st.sampled_from(SOME), st.sampled_from([v for _, v in VALUES])), max_size=30
).map("".join)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@given(TEXTS, SIZES)
def test_findings_are_a_function_of_the_characters(text: str, sizes: list[int]) -> None:
    whole = _fed(text, [len(text) or 1])
    assert whole == _fed(text, sizes)
    assert whole == _fed(text, [1])


def _fed(text: str, sizes: list[int]) -> list[Finding]:
    scanner = detector().open(LANE, Context())
    findings: list[Finding] = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        findings += scanner.feed(text[at : at + size]).findings
        at, turn = at + size, turn + 1
    return [*findings, *scanner.settle().findings]


@given(st.lists(st.tuples(st.sampled_from((REASONING, CONTENT)), TEXTS), max_size=4), SIZES)
def test_what_is_found_leaves_as_its_mask(segments: list[tuple[Lane, str]], sizes: list[int]) -> None:
    events: list[Event] = [
        *(TextReceived(lane, text) for lane, text in segments),
        ChoiceFinished(0, "stop"),
        UpstreamEnded(),
    ]
    plan = plan_of(detector(), actions={"pii": Mask("▮")})
    whole = said(play(StreamGuard(plan, Context()), events))
    assert whole == said(play(StreamGuard(plan, Context()), rechunked(events, sizes)))
    for lane in {lane for lane, _ in segments}:
        texts = [text for where, text in segments if where == lane and text]
        if len(texts) == 1:  # else it was settled midway
            assert whole.get(lane, "") == masked(texts[0])


def masked(text: str) -> str:
    out, at = "", 0
    for start, end in sorted(finding.span for _, finding in scan(detector(), text)):
        if start >= at:
            out += text[at:start] + "▮"
        at = max(at, end)
    return out + text[at:]


OFFLINE = """
import sys
before = set(sys.modules)
from detectors.pii import Pii, PiiSettings
made = Pii("pii", PiiSettings())
heavy = {"presidio_analyzer", "spacy", "phonenumbers", "tldextract", "regex"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)

def refuse(event, arguments):
    local = ("socket.__new__", "socket.bind", "socket.gethostname")  # urllib3 tries the loopback when it is imported
    if event.startswith(("socket.", "urllib.")) and event not in local:
        raise SystemExit(f"the network was tried: {event} {arguments}")

sys.addaudithook(refuse)
made.load()
assert heavy <= set(sys.modules)
from guard.testing import scan
text = "ada@example.org 4111 1111 1111 1111 +44 20 7946 0958 93.184.216.34 GB29NWBK60161331926819"
labels = [finding.label for _, finding in scan(made, text)]
assert labels == ["EMAIL_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER", "IP_ADDRESS", "IBAN_CODE"], labels
"""


def test_nothing_is_imported_before_load_and_the_network_is_never_tried() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


MISSING = """
import sys
sys.modules["presidio_analyzer"] = None
from detectors.pii import Pii, PiiSettings
from guard.contract import DetectorError
try:
    Pii("personal", PiiSettings()).load()
except DetectorError as error:
    print(error)
"""


def test_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("personal: the detector `pii` needs the package presidio-analyzer")
    assert "pip install 'qwq-guard[pii]'" in done.stdout
