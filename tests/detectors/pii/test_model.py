from __future__ import annotations

from pathlib import Path

import pytest

from detectors.pii import Pii, PiiSettings
from guard.contract import Channel, Context, DetectorError, Lane
from guard.testing import assert_detector_contract, scan

TEXT = "We asked Ada Lovelace. She lives in London, near ada@example.org, and knows Charles Babbage.\nNobody else? No"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spaCy pipeline that knows three names."""
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [
            {"label": "PERSON", "pattern": "Ada Lovelace"},
            {"label": "PERSON", "pattern": "Charles Babbage"},
            {"label": "GPE", "pattern": "London"},
        ]
    )
    made = tmp_path_factory.mktemp("model") / "names"
    pipeline.to_disk(made)
    return str(made)


def found(made: Pii, text: str = TEXT) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.span.start : finding.span.end]) for _, finding in scan(made, text)]


def test_finds_names_beside_the_rest(folder: str) -> None:
    made = Pii("pii", PiiSettings(spacy_model=folder, model_entities=("PERSON", "LOCATION")))
    assert found(made) == [
        ("PERSON", "Ada Lovelace"),
        ("LOCATION", "London"),
        ("EMAIL_ADDRESS", "ada@example.org"),
        ("PERSON", "Charles Babbage"),
    ]
    assert_detector_contract(made, [TEXT, f"{TEXT} " * 4, "no sentence ends here " * 60])


def test_holds_to_the_end_of_the_sentence(folder: str) -> None:
    made = Pii("pii", PiiSettings(spacy_model=folder))
    made.load()
    scanner = made.open(Lane(0, Channel.CONTENT), Context())
    assert scanner.feed("We asked Ada Love").settled == 0
    (finding,) = (report := scanner.feed("lace. She ")).findings
    assert (finding.label, finding.span, report.settled) == ("PERSON", (9, 21), 22)
    assert scanner.settle().settled == 27


def test_only_what_it_is_asked_for(folder: str) -> None:
    made = Pii("pii", PiiSettings(entities=(), spacy_model=folder, thresholds={"PERSON": 0.9}))
    assert list(made.labels) == ["PERSON"]
    assert found(made) == []  # Presidio gives 0.85
    assert found(Pii("pii", PiiSettings(entities=(), spacy_model=folder, allow=("ada lovelace",)))) == [
        ("PERSON", "Charles Babbage")
    ]


def test_a_model_that_is_not_there_is_not_fetched(tmp_path: Path) -> None:
    for name in ("en_core_web_enormous", str(tmp_path / "none")):
        with pytest.raises(DetectorError, match="neither an installed model nor a folder"):
            Pii("pii", PiiSettings(spacy_model=name)).load()
