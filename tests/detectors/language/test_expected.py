from __future__ import annotations

import pytest

from detectors.language.expected import Expected, expected_in
from detectors.language.identify import Identifier, load_identifier
from detectors.language.scripts import Script


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return load_identifier("language")


def expected(prompt: str, identifier: Identifier, named: str = "", *, from_prompt: bool = True) -> Expected:
    return expected_in(prompt, identifier, named=frozenset(named.split()), from_prompt=from_prompt)


@pytest.mark.parametrize(
    ("prompt", "languages"),
    [
        ("How many apples are left if two of them have been eaten?", {"en"}),
        ("¿Cuántas manzanas quedan si se han comido dos de ellas?", {"es"}),
        ("还剩下多少个苹果？", {"zh"}),
        ("苹果的数量必须是偶数" * 3, {"zh"}),
        ("りんごは何個残っていますか", {"ja"}),
        ("사과가 몇 개 남았습니까?", {"ko"}),
        ("Сколько яблок осталось, если два из них съедены?", {"ru"}),
        ("Translate into French: how many apples are left on the table?", {"en", "fr"}),
        ("What does this mean in English?\n还剩下多少个苹果？", {"en", "zh"}),
        ("用日语回答：还剩下多少个苹果？", {"zh", "ja"}),
        ("Explain this program, please, line by line:\n```\nprint('сколько яблок осталось')\n```\n", {"en"}),
    ],
)
def test_the_prompt_tells(prompt: str, languages: set[str], identifier: Identifier) -> None:
    found = expected(prompt, identifier)
    assert found.languages == languages
    assert found.settled


@pytest.mark.parametrize("prompt", ["", "Hi", "1 + 1 = ?", "\\frac{a}{b}"])
def test_a_prompt_too_short_to_tell_leaves_it_to_the_response(prompt: str, identifier: Identifier) -> None:
    found = expected(prompt, identifier, "en")
    assert found.languages == {"en"}
    assert not found.settled


def test_the_policy_alone_tells_without_the_prompt(identifier: Identifier) -> None:
    found = expected("还剩下多少个苹果？", identifier, "de ja", from_prompt=False)
    assert found.languages == {"de", "ja"}
    assert found.scripts == {Script.LATIN, Script.KANA, Script.HAN}
    assert found.settled


def test_letters_of_the_prompt_are_expected(identifier: Identifier) -> None:
    found = expected("What is the meaning of the sign Ж in this puzzle?", identifier)
    assert found.languages == {"en"}
    assert found.chars == {"Ж"}
