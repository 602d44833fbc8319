"""The kinds of harm that are told apart, and what the training data calls them.

Names are those of the MLCommons hazard taxonomy (AILuminate 1.0) where it has one; the last three are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CATEGORIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "violent_crimes": "help with, or praise of, violence against people or animals",
        "non_violent_crimes": "fraud, theft, drugs, trafficking and other crimes without violence",
        "child_sexual_exploitation": "sexual content about children",
        "sexual_content": "explicit sexual content",
        "suicide_self_harm": "suicide, self-harm, disordered eating",
        "indiscriminate_weapons": "chemical, biological, radiological, nuclear weapons and explosives",
        "hate": "contempt for people for what they are",
        "privacy": "exposing or spying on people",
        "specialized_advice": "dangerous medical, legal or financial advice",
        "cyber_crimes": "malware, intrusion, phishing",
        "harassment": "insults, threats, stalking",
        "misinformation": "made-up news and conspiracy, false claims about people",
    }
)

NAMED_IN_DATA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "violent_crimes": "violent_crimes",
        "non_violent_crimes": "non_violent_crimes",
        "child_exploitation": "child_sexual_exploitation",
        "sexual": "sexual_content",
        "self_harm": "suicide_self_harm",
        "weapons_cbrn": "indiscriminate_weapons",
        "hate": "hate",
        "privacy": "privacy",
        "specialized_advice": "specialized_advice",
        "malware_cyber": "cyber_crimes",
        "harassment": "harassment",
        "misinformation": "misinformation",
    }
)
"""What `category` in the training rows is called here."""
