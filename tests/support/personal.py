"""What is personal data and what only looks like it, in invented or published example values.

Cards are the test numbers of their issuers' and processors' manuals, IBANs the examples of the SWIFT registry, Bitcoin
addresses those of BIP 173 and of the first block; telephone numbers are of ranges set aside for fiction or published by
the authorities themselves; tokens and other numbers are made up, with valid checksums where there are any.
"""

from __future__ import annotations

import zlib
from typing import Final

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _token(prefix: str, body: str) -> str:
    """A token with a checksum made the way GitHub and npm make theirs. Not one of theirs."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return f"{prefix}_{body}{digits}"


POSITIVE: Final[dict[str, tuple[str, ...]]] = {
    "CREDIT_CARD": (
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111111111111111",
        "4012888888881881",
        "4222222222222",
        "5555 5555 5555 4444",
        "5105105105105100",
        "2223 0031 2200 3222",
        "3782 822463 10005",
        "371449635398431",
        "6011 1111 1111 1117",
        "3530 1113 3330 0000",
        "3056 930902 5904",
        "6200 0000 0000 0005",
        "2200 0000 0000 0053",
        "6304 0000 0000 0000",
        "4111.1111.1111.1111",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "４１１１　１１１１　１１１１　１１１１",
        "4111 1111 11\u200b11 1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u20111111\u20131111\u20141111",
    ),
    "CRYPTO": (
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
        "12c6DSiU4Rq3P4ZxziKxzrL5LmMBrzjrJX",
        "1HLoD9E4SDFFPDiYfNYnkBLQ85Y51J3Zb1",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "1FeexV6bAHb8ybZjqQMjJrcCrHGW9sb6uF",
    ),
    "EMAIL_ADDRESS": (
        "ada@example.org",
        "ada.lovelace@example.co.uk",
        "ada+tag@mail.example.com",
        "ADA_99@EXAMPLE.COM",
        "a@b.io",
        "o'hara@example.ie",
        "ada-lovelace@sub.sub.example.museum",
        "ada%x@example.net",
        "ada@xn--bcher-kva.example.de",
        "a\u200bda@exam\u2060ple.org",
        "ａｄａ＠ｅｘａｍｐｌｅ．ｏｒｇ",
        "аda@example.org",
    ),
    "IBAN_CODE": (
        "GB29 NWBK 6016 1331 9268 19",
        "GB29NWBK60161331926819",
        "GB29-NWBK-6016-1331-9268-19",
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NL91 ABNA 0417 1643 00",
        "ES91 2100 0418 4502 0005 1332",
        "IT60 X054 2811 1010 0000 0123 456",
        "CH93 0076 2011 6238 5295 7",
        "BE68 5390 0754 7034",
        "SE45 5000 0000 0583 9825 7466",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "gb29nwbk60161331926819",
    ),
    "IP_ADDRESS": (
        "93.184.216.34",
        "185.199.108.153",
        "23.45.67.89",
        "104.16.132.229",
        "151.101.1.69",
        "200.147.3.157",
        "93.184.216.34/24",
        "2606:2800:220:1:248:1893:25c8:1946",
        "2a00:1450:4001:81b::200e",
        "2001:4860:4860::8844",
        "::ffff:93.184.216.34",
    ),
    "PHONE_NUMBER": (
        "(212) 555-0123",
        "212-555-0123",
        "212.555.0199",
        "555-123-4567",
        "+1 212 555 0123",
        "+1-212-555-0123",
        "+12125550123",
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "+49 30 23125 555",
        "+33 1 99 00 12 34",
        "+86 138 1234 5678",
        "+91 98765 43210",
        "+81 3-1234-5678",
        "0044 20 7946 0958",
    ),
    "SECRET": (
        "AKIAIOSFODNN7EXAMPLE",
        _token("ghp", "notARealTokenNotARealTokenNotA"),
        _token("npm", "anInventedTokenAnInventedToken"),
        "github_pat_" + "a" * 22 + "_" + "b" * 59,
        "glpat-" + "xY3" * 7,
        "xoxb-" + "1" * 12 + "-" + "a" * 24,
        "sk_live_" + "z9" * 12,
        "AIza" + "Sy-" * 11 + "Qw",
        "hf_" + "qW" * 17,
        "sk-proj-" + "y3_" * 16,
        "sk-ant-" + "api03-" + "k8" * 40,
        "pypi-AgEIcHlwaS5vcmc" + "Cx_" * 20,
        "AKIA\u200bIOSFODNN7EXAMPLE",
    ),
    "US_SSN": (
        "536-22-1234",
        "536 22 1234",
        "536.22.1234",
        "219-09-9999",
        "123-45-6789",
        "078-05-1120",
        "001-01-0001",
        "772-14-3456",
        "457-55-5462",
        "536‑22‑1234",
    ),
}
"""Each stands for itself: nothing beside it is needed to know it."""

WITH_CONTEXT: Final[dict[str, tuple[str, ...]]] = {
    "PHONE_NUMBER": ("phone 2125550123", "call me: 212 555 0123", "Mobile 2125550123", "Tel. 2125550123"),
    "US_SSN": ("ssn 536221234", "social security number: 536221234"),
    "IP_ADDRESS": ("the ip 93.184.216.34",),
}
"""A word before it makes it one."""

NATIONAL: Final[dict[str, str]] = {
    "AU_TFN": "tax file number 876 543 210",
    "CA_SIN": "130 692 544",
    "DE_TAX_ID": "86095742719",
    "ES_NIF": "55555555K",
    "FI_PERSONAL_IDENTITY_CODE": "131052-308T",
    "IN_AADHAAR": "3123 4567 8909",
    "IT_FISCAL_CODE": "RSSMRA85T10A562S",
    "PL_PESEL": "44051401359",
    "SG_NRIC_FIN": "S1234567D",
    "UK_NHS": "943 476 5919",
    "UK_NINO": "AA 12 34 56 B",
    "US_ITIN": "912-70-1234",
}
"""With the setting `countries`."""

NEGATIVE: Final[tuple[str, ...]] = (
    "Upload it to S3, or to an EC2 instance in us-east-1 behind C4 and EKS.",
    "version 1.2.3.4, v10.0.19041.1, release 2.31.0, numpy==1.26.4, Chrome 120.0.6099.109",
    "See section 3.2.1.4 and table 4.1.2, OID 1.3.6.1.4.1",
    "550e8400-e29b-41d4-a716-446655440000 and 00000000-0000-0000-0000-000000000000",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "md5 d41d8cd98f00b204e9800998ecf8427e, sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "3.14159265358979323846264338327950288419716939937510",
    "2542497.917, 6.038137648, 1,234,567,890.12 and 1.234.567.890",
    "1234567890 * 9876543210 = 12193263111263526900",
    "2 + 2 = 4, 12 - 5 = 7, 100 / 4 = 25, 5! = 120, 2^64 = 18446744073709551616",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39",
    "0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946",
    "[[1, 0, 0], [0, 1, 0], [0, 0, 1]] and 1000 2000 3000 4000 5000 6000",
    "on 2024-11-22 at 19:34:12, 11/22/2024, 22.11.2024, 20241122T193412Z",
    "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, DOI 10.1000/182, arXiv:2310.12345",
    "$\\frac{a}{b} + \\sqrt{2} \\times 10^{-34}$, \\makeatletter\\@ifnextchar\\makeatother",
    "@decorator\ndef f(self): ...\n@app.route('/x')\n@property",
    "git@github:x/y, user@localhost, root@server:~#, x@y, @ada, a @ b, lodash@4.17.21",
    "C++: std::vector<int>, a::b::c, ::operator; Rust: Vec::<u8>::new(); slice[1::2]",
    "127.0.0.1, 0.0.0.0, 192.168.1.1, 10.0.0.1/8, 172.16.0.1, 255.255.255.0, 8.8.8.8, 1.1.1.1",
    "fe80::1, ::1, 2001:db8::1, 00:1a:2b:3c:4d:5e, 12:34:56, 1:2:3",
    "0x7fffffffe3a8, 0xDEADBEEF, #ff8800, U+1F600, \\x41\\x42",
    "order 1234567, invoice 20241122-0001, part 123-4567-89, error 0x80070057, HTTP/1.1 404",
    "4111 1111 1111 1112 and 4000 0000 0000 0000, 1111 1111 1111 1111, 9999999999999999",
    "GB82 WEST 1234 5698 7654 33 is no valid IBAN, nor is GB00",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000",
    "akiaiosfodnn7example, sk-learn, hf_hub, ghp_short, AKIA, xoxb-",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb is a typo, and so is bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "12+447700900123 = x, 3 + 12125550123 = y, a+12125550123",
    "x = 4111; y = 1111; z = 1111; print(x, y, z, 1111)",
    "The 4 of 10 people in room 212 on 555 Main Street, building 0123, saw 50% more.",
    "Temperature -273.15, 6.022e23, 1.602176634e-19, 299792458 m/s",
    "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgdGV4dCB0aGF0IGlzIGxvbmcgZW5vdWdoIHRvIGJlIGxvb2tlZCBhdA==",
    "因此我们需要检查 12345 和 67890 的和是 80235。",
)
"""Nothing in these is personal data."""
