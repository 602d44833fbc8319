"""Forms of our own where Presidio's miss or mistake too much, and what looks like an entity and is none.

Presidio's pattern for cards leaves out Mastercard's 2-series and Mir and takes numbers that no issuer has. Sources:
ISO/IEC 7812 and the issuers' published ranges; IANA's registries of special-purpose addresses, by `ipaddress`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from presidio_analyzer import Pattern

_ISSUERS: Final = (
    (re.compile("4"), (13, 16, 19)),  # Visa
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),  # Mastercard
    (re.compile("3[47]"), (15,)),  # American Express
    (re.compile("6011|64[4-9]|65"), (16, 19)),  # Discover
    (re.compile("30[0-5]|3095|36|3[89]"), (14, 16, 19)),  # Diners Club
    (re.compile("35(?:2[89]|[3-8])"), (16, 19)),  # JCB
    (re.compile("62|81"), (16, 17, 18, 19)),  # UnionPay
    (re.compile("5018|5020|5038|5893|6304|6759|676[1-3]"), (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (re.compile("220[0-4]"), (16, 17, 18, 19)),  # Mir
    (re.compile("60|508"), (16,)),  # RuPay
)
_LEFT: Final = r"(?<![\w])(?<!\d[.,])"
_RIGHT: Final = r"(?!\w)(?![.,]\d)"
CARDS: Final = [
    Pattern("16 digits", rf"{_LEFT}[2-6]\d{{3}}[- .]?\d{{4}}[- .]?\d{{4}}[- .]?\d{{4}}{_RIGHT}", 0.3),
    Pattern("19 digits", rf"{_LEFT}[2-6]\d{{3}}[- .]?\d{{4}}[- .]?\d{{4}}[- .]?\d{{4}}[- .]?\d{{3}}{_RIGHT}", 0.3),
    Pattern("15 digits, 4-6-5", rf"{_LEFT}3[47]\d\d[- .]?\d{{6}}[- .]?\d{{5}}{_RIGHT}", 0.3),
    Pattern("14 digits, 4-6-4", rf"{_LEFT}3[0689]\d\d[- .]?\d{{6}}[- .]?\d{{4}}{_RIGHT}", 0.3),
    Pattern("13 to 19 digits", rf"{_LEFT}[2-6]\d{{12,18}}{_RIGHT}", 0.3),
]
NORTH_AMERICAN: Final = [
    Pattern(
        "with both separators",
        r"(?<![\w.+/=-])(?:\+?1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w/-]|\.\d)",
        0.4,
    ),
]
"""Numbers of the plan's form that phonenumbers refuses, as those set aside for fiction."""
PHONE_CONTEXT: Final = ("phone", "telephone", "tel", "cell", "mobile", "call", "fax", "dial", "sms", "whatsapp")
"""Presidio has "number" too, which stands before any."""


def is_card(match: str, before: str, after: str) -> bool:
    digits = "".join(char for char in match if char.isdigit())
    if len(set(digits)) < 2:
        return False
    return any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)


_PUBLIC_RESOLVERS: Final = frozenset(
    ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220")
)
_VERSION: Final = re.compile(
    r"(?:(?<![A-Za-z])v|\b(?:version|release|build|section|chapter|step|table|figure|fig|oid|firmware|driver|kernel)"
    r"s?\.?)[ :=#]*$",
    re.IGNORECASE,
)
_SMALL: Final = 32
"""Four numbers below this are rather a version or a section than an address (1 address in 4,096 is like that)."""
_GLOBAL_6: Final = ipaddress.ip_network("2000::/3")


def is_address(match: str, before: str, after: str) -> bool:
    """A public one, and not a version number."""
    address = ipaddress.ip_interface(match).ip
    if before[-1:] in {".", "-"} or after[:1] == "-" or re.match(r"\.\d", after):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return address in _GLOBAL_6 and address.is_global
        address = address.ipv4_mapped
    small = all(number < _SMALL for number in address.packed)
    return address.is_global and str(address) not in _PUBLIC_RESOLVERS and not small and not _VERSION.search(before)


_MATHS: Final = frozenset("=*×·÷^/±≈%$€£¥₹#√_")
_DECIMAL: Final = re.compile(r"\d+\.\d+")


def phone_score(match: str, before: str, after: str) -> float:
    """0.4 as in Presidio; 0.2, which needs a context word, without a separator or with spaces only; 0 for part of a
    sum, a decimal or a list of numbers."""
    left, right = before.rstrip(" "), after.lstrip(" ")
    if left[-1:] in _MATHS or right[:1] in _MATHS or re.match(r"[.,]?\w", after):
        return 0.0
    if re.search(r"\w[.,]?$", before) or _DECIMAL.fullmatch(match) or match.startswith("+ "):
        return 0.0
    if match.startswith(("+", "(", "00")) or "-" in match or "." in match:
        return 0.4
    return 0.0 if left[-1:].isdigit() or right[:1].isdigit() else 0.2


def is_phone(match: str, before: str, after: str) -> bool:
    return phone_score(match, before, after) > 0


def is_social_security(number: str) -> bool:
    """Could the Social Security Administration have issued it? Takes the numbers of examples, as a reader would."""
    digits = "".join(char for char in number if char.isdigit())
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        len({char for char in number if not char.isdigit()}) < 2
        and len(set(digits)) > 1
        and area not in {"000", "666"}
        and area < "900"
        and group != "00"
        and serial != "0000"
    )


def is_ssn(match: str, before: str, after: str) -> bool:
    """Not three numbers of a list."""
    return not (" " in match and (before.rstrip(" ")[-1:].isdigit() or after.lstrip(" ")[:1].isdigit()))
