from __future__ import annotations

import pytest

from detectors.language.names import languages_named_in, scripts_named_by
from detectors.language.scripts import Script


@pytest.mark.parametrize(
    ("prompt", "languages"),
    [
        ("Answer in French, please.", {"fr"}),
        ("Translate into Japanese: good morning", {"ja"}),
        ("Explica en portugués cómo se aprende a nadar.", {"pt"}),
        ("Répondez en anglais.", {"en"}),
        ("Antworte bitte auf Italienisch.", {"it"}),
        ("Ответь на немецком языке.", {"de"}),
        ("请用日语回答", {"ja"}),
        ("フランス語で答えてください", {"fr"}),
        ("영어로 대답해 주세요", {"en"}),
        ("Who built the Great Wall of China?", set()),
    ],
)
def test_languages_are_asked_for_in_many(prompt: str, languages: set[str]) -> None:
    assert languages_named_in(prompt) == languages


@pytest.mark.parametrize(
    ("word", "scripts"),
    [
        ("Chinese", {Script.HAN}),
        ("kanji", {Script.KANA, Script.HAN}),
        ("Cyrillic", {Script.CYRILLIC}),
        ("Spanish", set()),
    ],
)
def test_a_name_announces_scripts(word: str, scripts: set[Script]) -> None:
    assert scripts_named_by(word) == scripts
