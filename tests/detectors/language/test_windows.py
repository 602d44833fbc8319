from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Alarm, words
from detectors.language.identify import Identifier, load_identifier
from detectors.language.windows import Windows

ENGLISH = "First we compute the total cost of the trip, and then we compare it with the budget of the family. "
SPANISH = (
    "Entonces el costo total del viaje es la suma de los precios de cada uno de los boletos, por lo que la respuesta "
    "es cuarenta. "
)


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return load_identifier("language")


def alarms(text: str, expected: str, identifier: Identifier) -> list[Alarm]:
    windows = Windows(identifier, frozenset(expected.split()))
    return [alarm for word in words(Piece(text, 0)) for alarm in windows.take(word)]


@pytest.mark.parametrize(
    ("text", "expected", "language"),
    [
        (ENGLISH + SPANISH, "en", "es"),
        (SPANISH + ENGLISH, "es", "en"),
        (
            "Давайте рассмотрим эту задачу подробнее и найдём решение. Тепер нам потрібно знайти всі можливі значення "
            "цієї змінної, щоб відповісти на запитання.",
            "ru",
            "uk",
        ),
        (
            "Vamos a analizar el problema con cuidado. Agora precisamos encontrar todos os valores possíveis da "
            "variável para responder à pergunta, porque não é possível fazer isso de outra maneira e as condições "
            "são muito fortes.",
            "es",
            "pt",
        ),
    ],
)
def test_a_switch_is_found_once(text: str, expected: str, language: str, identifier: Identifier) -> None:
    (alarm,) = alarms(text, expected, identifier)
    assert (alarm.label, alarm.language) == ("switch", language)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ENGLISH * 10, "en"),
        (SPANISH * 10, "es"),
        (ENGLISH + SPANISH, "en es"),
        ("sin cos tan " * 20, "en"),
        ("la la la la na na na hey hey hey goodbye " * 5, "en"),
        ("getUserName set_user_id HTMLParser CH3COOH kubectl2 " * 10, "en"),
        ("The raison d'être of the project, its joie de vivre and a certain je ne sais quoi. ", "en"),
        (
            "Trebamo razmotriti sve moguće slučajeve ovog problema jer je odnos između njih vrlo složen, pa ga moramo "
            "pažljivo analizirati.",
            "hr",
        ),
    ],
)
def test_what_is_expected_is_not_found(text: str, expected: str, identifier: Identifier) -> None:
    assert alarms(text, expected, identifier) == []


def test_a_second_switch_is_found_after_expected_text(identifier: Identifier) -> None:
    found = alarms((ENGLISH * 3 + SPANISH) * 2, "en", identifier)
    assert [alarm.language for alarm in found] == ["es", "es"]


def test_undecided_evidence_has_a_place(identifier: Identifier) -> None:
    windows = Windows(identifier, frozenset({"en"}))
    places = {windows.since}
    for word in words(Piece("Entonces el costo total del viaje es la suma", 10)):
        windows.take(word)
        places.add(windows.since)
    assert places == {None, 10}  # where the first word of the first window starts


def test_an_identifier_empties_the_window(identifier: Identifier) -> None:
    half = SPANISH[: len(SPANISH) // 2]
    assert alarms(half, "en", identifier) != []
    assert alarms(half.replace(" ", " c_from "), "en", identifier) == []


def test_capitalised_words_count_only_alone(identifier: Identifier) -> None:
    names = "Gabriel García Márquez, Jorge Luis Borges, Pablo Neruda, Julio Cortázar, Mario Vargas Llosa "
    assert alarms(names * 3, "en", identifier) == []
    german = "die Verwendung von Düngemitteln und die Zerstörung von Ökosystemen durch eine Verschmutzung der Umwelt "
    assert [alarm.language for alarm in alarms(german, "en", identifier)] == ["de"]


def test_a_short_english_sentence_is_enough_where_english_is_not_expected(identifier: Identifier) -> None:
    (alarm,) = alarms("Here is a summary of the text in two paragraphs: ", "fr", identifier)
    assert alarm.language == "en"


def test_a_veto_is_heard_and_asked_once(identifier: Identifier) -> None:
    asked = []

    def veto(text: str, expected: frozenset[str]) -> bool:
        asked.append((text, expected))
        return len(asked) == 1

    windows = Windows(identifier, frozenset({"en"}), veto)
    found = [alarm for word in words(Piece(SPANISH * 3, 0)) for alarm in windows.take(word)]
    assert [alarm.language for alarm in found] == ["es"]
    assert len(asked) == 2
    assert "costo total del viaje" in asked[0][0]


def test_the_peak_is_the_share_of_an_alarm(identifier: Identifier) -> None:
    windows = Windows(identifier, frozenset({"en"}))
    for word in words(Piece(ENGLISH, 0)):
        windows.take(word)
    assert windows.peak == 0
    for word in words(Piece(SPANISH[:40], 200)):
        windows.take(word)
    assert 0 < windows.peak <= 1
