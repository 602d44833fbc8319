"""Forms of secrets that their issuers publish, and checksums.

Forms: the issuers' documentation (GitHub "Behind GitHub's new authentication token formats", 2021; AWS IAM identifiers;
Slack, Stripe, Google, GitLab, npm, PyPI, OpenAI and Hugging Face key prefixes; RFC 7468 for private keys).
"""

from __future__ import annotations

import string
import zlib
from typing import Final

PRIVATE_KEY: Final = r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----"
"""The first line; the rest of the key belongs to it (`Unit.goes_on`)."""
SECRETS: Final[tuple[tuple[str, int | None, str], ...]] = (
    (r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", None, ""),
    (r"\bgh[pousr]_[A-Za-z0-9]{36}\b", None, "github"),
    (r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b", None, ""),
    (r"\bglpat-[A-Za-z0-9_-]{20,64}", None, ""),
    (r"\bxox[abposr]-[A-Za-z0-9-]{10,80}", None, ""),
    (r"\b[sr]k_live_[A-Za-z0-9]{24,99}\b", None, ""),
    (r"\bAIza[A-Za-z0-9_-]{35}", None, ""),
    (r"\bnpm_[A-Za-z0-9]{36}\b", None, "github"),
    (r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,300}", None, ""),
    (r"\bsk-(?:proj-|svcacct-|ant-)[A-Za-z0-9_-]{20,200}", None, ""),
    (r"\bhf_[A-Za-z]{34}\b", None, ""),
    (PRIVATE_KEY, None, ""),
)
"""Expression, longest match if it has none, checksum. Seen as they stand: upper and lower case matter."""

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1: payment cards. Anything but digits is passed over."""
    digits = [int(char) for char in text if char in string.digits]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(digits) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: remainder 1 modulo 97 with the first four characters moved to the end."""
    plain = "".join(char for char in text.upper() if char.isascii() and char.isalnum())
    turned = plain[4:] + plain[:4]
    return len(plain) > 4 and int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def github(text: str) -> bool:
    """GitHub's and npm's tokens end in the CRC-32 of what follows the prefix, as six base-62 digits."""
    _, _, body = text.partition("_")
    number = 0
    for char in body[-6:]:
        number = number * 62 + _BASE62.find(char)
    return len(body) > 6 and zlib.crc32(body[:-6].encode()) == number


CHECKS: Final = {"luhn": luhn, "iban": iban, "github": github}
