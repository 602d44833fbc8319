from __future__ import annotations

import zlib

import pytest

from detectors.pattern import Pattern, PatternSettings
from detectors.pattern.secrets import _BASE62, CHECKS, github, iban, luhn
from guard.contract import Channel, Context, Lane
from guard.testing import assert_detector_contract, scan


def token(prefix: str, body: str) -> str:
    """A token with a checksum made the way GitHub makes it. Not one of GitHub's."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"{prefix}_{body}{digits}"


FAKE = token("ghp", "notARealTokenNotARealTokenNotA")


@pytest.mark.parametrize(
    ("number", "valid"), [("4111 1111 1111 1111", True), ("4111 1111 1111 1112", False), ("", False)]
)
def test_luhn(number: str, valid: bool) -> None:
    assert luhn(number) is valid


@pytest.mark.parametrize(
    ("number", "valid"), [("GB82 WEST 1234 5698 7654 32", True), ("GB82WEST12345698765433", False)]
)
def test_iban(number: str, valid: bool) -> None:
    assert iban(number) is valid


def test_github() -> None:
    assert github(FAKE)
    assert not github(FAKE[:-1] + ("a" if FAKE[-1] != "a" else "b"))
    assert set(CHECKS) == {"luhn", "iban", "github"}


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "Q" * 16,
        FAKE,
        "github_pat_" + "a" * 22 + "_" + "b" * 59,
        "glpat-" + "x" * 20,
        "xoxb-" + "1" * 12 + "-" + "a" * 24,
        "sk_live_" + "z" * 24,
        "AIza" + "S" * 35,
        "hf_" + "q" * 34,
        "sk-proj-" + "y" * 48,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + "A" * 60 + "\n",
    ],
)
def test_secrets_are_found_as_they_stand(secret: str) -> None:
    detector = Pattern("secrets", PatternSettings(secrets=True))
    text = f"use {secret} for it"
    ((_, finding),) = scan(detector, text)
    assert finding.label == "secret"
    assert text[finding.span.start : finding.span.end].startswith(secret.strip()[:20])
    assert finding.span.end - finding.span.start >= len(secret.strip())


@pytest.mark.parametrize(
    "text",
    [
        "akiaqqqqqqqqqqqqqqqq",
        "ghp_" + "a" * 36,
        "sk-learn and sk-proj-short",
        "a sha1: da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_what_only_looks_like_one_is_not_found(text: str) -> None:
    assert scan(Pattern("secrets", PatternSettings(secrets=True)), text) == []


BODY = "\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj" for _ in range(25))
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"


def spans(text: str) -> list[str]:
    detector = Pattern("secrets", PatternSettings(secrets=True))
    return [text[slice(*finding.span)] for _, finding in scan(detector, text)]


def test_a_private_key_is_found_to_its_last_line() -> None:
    assert spans(f"Here: {KEY}\nand that was it") == [KEY]
    assert spans(f"{KEY}\n{KEY} x") == [KEY, KEY]
    assert spans(KEY.replace("\n", "\\n")) == [KEY.replace("\n", "\\n")]
    assert spans(KEY[:900]) == [KEY[:900]]
    assert spans(f"{KEY[:300]}. But no") == [KEY[:300]]


def test_a_private_key_is_held_from_its_first_line_and_no_longer_than_any_match() -> None:
    detector = Pattern("secrets", PatternSettings(secrets=True, decode=()))
    detector.load()
    scanner = detector.open(Lane(0, Channel.CONTENT), Context())
    fed = 0
    for piece in (f"so {KEY}"[at : at + 16] for at in range(0, len(KEY) - 16, 16)):
        fed += len(piece)
        assert scanner.feed(piece).settled <= 3
    endless = "-----BEGIN PRIVATE KEY-----" + "A" * 9_000
    assert [len(span) for span in spans(endless)] == [4_000]


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"a {KEY[:700]}! {KEY} b {KEY[:40]}",
        "-----BEGIN PRIVATE KEY-----" * 9 + "! x",
        f"-----END A----{KEY[:99]} {KEY}",
    ],
)
def test_keys_keep_the_contract(text: str) -> None:
    assert_detector_contract(Pattern("secrets", PatternSettings(secrets=True)), [text])
