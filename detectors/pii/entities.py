"""What can be looked for, under Presidio's names.

Presidio itself is imported when a detector loads, so its recognizers stand here by the names of their classes.
Lengths are those of the longest form that an entity has in print, separators included.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

SPACED: Final = 64
"""Longest entity with spaces in it, in code points: an IBAN in groups has 42, a telephone number some 30."""
UNSPACED: Final = 256
"""Longest entity without spaces, in code points: RFC 5321 allows an address 254."""
SENTENCE: Final = 400
"""Longest stretch that a language model is shown at once, in code points."""
THRESHOLD: Final = 0.4
"""Presidio's score of what a form alone makes likely, and of what a weak form and a word before it do."""


class Entity(NamedTuple):
    """One label. What has fewer digits, or not the mark, is not looked at."""

    meaning: str
    recognizer: str = ""
    """Presidio's class; empty where the guard has its own."""
    digits: int = 4
    mark: str = ""
    country: str = ""


GENERAL: Final[Mapping[str, Entity]] = {
    "CREDIT_CARD": Entity("a payment card's number: issuer, length and checksum fit", digits=13),
    "CRYPTO": Entity("a Bitcoin address with a valid checksum", "CryptoRecognizer", digits=1),
    "EMAIL_ADDRESS": Entity("an e-mail address under a public suffix", digits=0, mark="@"),
    "IBAN_CODE": Entity("a bank account's number: country's form and checksum fit", digits=2),
    "IP_ADDRESS": Entity("a public internet address; not private, local or documentation ones", "IpRecognizer"),
    "PHONE_NUMBER": Entity("a telephone number that can exist", digits=7),
    "SECRET": Entity("an API key, token or private key of a known form", digits=0),
    "US_SSN": Entity("a US social security number", "UsSsnRecognizer", digits=9),
}
"""Looked for unless `entities` says otherwise."""

ASKED_FOR: Final[Mapping[str, Entity]] = {
    "MAC_ADDRESS": Entity("a network card's address", "MacAddressRecognizer", digits=0, mark=":-"),
    "URL": Entity("a web address", "UrlRecognizer", digits=0, mark="."),
    "UUID": Entity("a UUID", "UuidRecognizer", digits=1, mark="-"),
}
"""Looked for only where `entities` lists them: most of them are of nobody."""

MODEL: Final[Mapping[str, Entity]] = {
    "PERSON": Entity("a person's name, as the spaCy model sees it"),
    "LOCATION": Entity("a place, as the spaCy model sees it"),
    "ORGANIZATION": Entity("an organisation, as the spaCy model sees it"),
    "NRP": Entity("a nationality, religion or political group, as the spaCy model sees it"),
}
"""Looked for only with `spacy_model`, and of these those that `model_entities` lists."""

# fmt: off
NATIONAL: Final[Mapping[str, Entity]] = {
    "AU_ABN": Entity("an Australian business number", "AuAbnRecognizer", country="au", digits=11),
    "AU_MEDICARE": Entity("an Australian Medicare number", "AuMedicareRecognizer", country="au", digits=10),
    "AU_TFN": Entity("an Australian tax file number", "AuTfnRecognizer", country="au", digits=9),
    "CA_SIN": Entity("a Canadian social insurance number", "CaSinRecognizer", country="ca", digits=9),
    "DE_ID_CARD": Entity("a German identity card's number", "DeIdCardRecognizer", country="de", digits=1),
    "DE_SOCIAL_SECURITY": Entity("a German pension insurance number", "DeSocialSecurityRecognizer", country="de",
                                 digits=11),
    "DE_TAX_ID": Entity("a German tax number for life", "DeTaxIdRecognizer", country="de", digits=11),
    "ES_NIE": Entity("a Spanish foreigner's number", "EsNieRecognizer", country="es", digits=7),
    "ES_NIF": Entity("a Spanish tax number", "EsNifRecognizer", country="es", digits=7),
    "FI_PERSONAL_IDENTITY_CODE": Entity("a Finnish identity code", "FiPersonalIdentityCodeRecognizer", country="fi",
                                        digits=9),
    "IN_AADHAAR": Entity("an Indian Aadhaar number", "InAadhaarRecognizer", country="in", digits=12),
    "IN_PAN": Entity("an Indian tax number", "InPanRecognizer", country="in"),
    "IT_FISCAL_CODE": Entity("an Italian tax code", "ItFiscalCodeRecognizer", country="it", digits=1),
    "KR_RRN": Entity("a Korean resident's number", "KrRrnRecognizer", country="kr", digits=13),
    "PL_PESEL": Entity("a Polish identity number", "PlPeselRecognizer", country="pl", digits=11),
    "SE_PERSONNUMMER": Entity("a Swedish identity number", "SePersonnummerRecognizer", country="se", digits=10),
    "SG_NRIC_FIN": Entity("a Singaporean identity number", "SgFinRecognizer", country="sg", digits=7),
    "TR_NATIONAL_ID": Entity("a Turkish identity number", "TrNationalIdRecognizer", country="tr", digits=11),
    "UK_NHS": Entity("a British health service number", "NhsRecognizer", country="uk", digits=10),
    "UK_NINO": Entity("a British national insurance number", "UkNinoRecognizer", country="uk", digits=6),
    "US_ITIN": Entity("a US taxpayer's number", "UsItinRecognizer", country="us", digits=9),
    "US_PASSPORT": Entity("a US passport's number", "UsPassportRecognizer", country="us", digits=8),
}
"""Looked for where `countries` lists the country, or `entities` the label."""
# fmt: on

ENTITIES: Final[Mapping[str, Entity]] = MappingProxyType({**GENERAL, **ASKED_FOR, **NATIONAL, **MODEL})
COUNTRIES: Final = tuple(sorted({entity.country for entity in NATIONAL.values()}))
