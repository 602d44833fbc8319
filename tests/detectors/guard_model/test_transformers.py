from __future__ import annotations

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.guard_model.adapter import Judgement, Level, Reason, Unavailable
from detectors.guard_model.settings import TransformersGuard
from guard.contract import Channel, DetectorError
from tests.support.guard_models import save_classifier, save_stream_model

pytest.importorskip("torch", reason="needs pip install 'qwq-guard[transformers]'")

import torch

from detectors.guard_model.transformers import CHUNK, ClassifierAdapter, StreamAdapter, transformers_adapter

near: Any = pytest.approx

MEANING = {"calm": "safe", "harmful": "indiscriminate_weapons", "rude": "harassment"}
CALM = "the garden is lovely . "


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("guards")
    for name, several in (("one", False), ("several", True)):
        save_classifier(root / name, several=several)
    for name, by_hand in (("hand", True), ("random", False)):
        (root / name).mkdir()
        save_stream_model(root / name, by_hand=by_hand)
    return root


@pytest.fixture(scope="module")
def classifier(folders: Path) -> ClassifierAdapter:
    return load_classifier(folders / "one")


def load_classifier(folder: Path) -> ClassifierAdapter:
    adapter = ClassifierAdapter(TransformersGuard(model=str(folder), labels=MEANING, threads=1))
    adapter.load()
    return adapter


def load_stream(folder: Path, **settings: Any) -> StreamAdapter:
    adapter = StreamAdapter(TransformersGuard(model=str(folder), kind="qwen3guard_stream", threads=1, **settings), 0.5)
    adapter.load()
    return adapter


@pytest.fixture(scope="module")
def stream(folders: Path) -> StreamAdapter:
    return load_stream(folders / "hand")


@pytest.fixture(scope="module")
def random_stream(folders: Path) -> StreamAdapter:
    return load_stream(folders / "random")


# --- classifiers


@pytest.mark.parametrize(
    ("text", "level", "labels"),
    [
        (CALM, Level.SAFE, None),
        ("we build a bomb and it was lovely .", Level.UNSAFE, ("indiscriminate_weapons",)),
        ("it was a insult", Level.UNSAFE, ("harassment",)),
        ("", Level.SAFE, None),
    ],
)
def test_a_classifier_judges(classifier: ClassifierAdapter, text: str, level: Level, labels: tuple[str, ...]) -> None:
    judgement = classifier.open(Channel.CONTENT).score("", "", text)
    assert judgement.level is level
    assert judgement.consumed == len(text)
    assert (judgement.risk > 0.8) is (level is Level.UNSAFE)
    if labels:
        assert judgement.categories == labels


def test_several_classes_can_be_true_at_once(folders: Path) -> None:
    judgement = load_classifier(folders / "several").open(Channel.CONTENT).score("", "", "a bomb")
    assert judgement.level is Level.UNSAFE
    assert judgement.categories == ("indiscriminate_weapons",)


def test_the_text_before_is_context(classifier: ClassifierAdapter) -> None:
    judge = classifier.open(Channel.CONTENT)
    assert judge.score("", "we build a bomb ", CALM).level is Level.UNSAFE
    assert judge.score("", CALM, CALM).level is Level.SAFE


@pytest.mark.parametrize("place", [0, 0.3, 0.49, 0.5, 0.51, 0.63, 0.9, 1])
def test_no_word_of_a_long_new_text_is_left_out(classifier: ClassifierAdapter, place: float) -> None:
    """The model takes 128 tokens."""
    calm = CALM * 100
    at = round(place * 100) * len(CALM)
    assert classifier.judge(CALM * 9, f"{calm[:at]}bomb {calm[at:]}").level is Level.UNSAFE
    assert classifier.judge("bomb " + CALM * 30, calm).level is Level.SAFE  # context yields to the new text


def test_control_tokens_in_a_text_are_text(classifier: ClassifierAdapter) -> None:
    ids = classifier._tokenizer("[SEP] [CLS] the", split_special_tokens=True)["input_ids"]
    assert ids.count(2) == ids.count(3) == 1


def test_every_class_must_have_a_meaning(folders: Path) -> None:
    adapter = ClassifierAdapter(TransformersGuard(model=str(folders / "one"), labels={"calm": "safe"}))
    with pytest.raises(DetectorError, match="the classes calm, harmful, rude; say what harmful, rude mean"):
        adapter.load()


def test_threads_share_a_classifier(classifier: ClassifierAdapter) -> None:
    texts = ["a bomb", CALM, "insult", CALM * 4] * 4
    alone = [classifier.judge("", text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda text: classifier.judge("", text), texts)] == alone


@pytest.mark.parametrize("kind", ["classifier", "qwen3guard_stream"])
def test_what_cannot_be_loaded_is_one_sentence(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="there is no folder"):
        transformers_adapter(TransformersGuard(model=str(tmp_path / "none"), kind=kind), 0.5).load()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DetectorError, match="cannot be loaded") as told:
        transformers_adapter(TransformersGuard(model=str(tmp_path / "empty"), kind=kind), 0.5).load()
    assert "\n" not in str(told.value)


def test_a_model_that_fails_has_not_judged(classifier: ClassifierAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_model", None)
    with pytest.raises(Unavailable) as told:
        classifier.open(Channel.CONTENT).score("", "", "text")
    assert told.value.reason is Reason.MODEL_FAILED


# --- Qwen3Guard-Stream


def judged(adapter: StreamAdapter, text: str, channel: Channel = Channel.CONTENT) -> Judgement:
    return adapter.open(channel).score("Hi", "", text, final=True)


@pytest.mark.parametrize(
    ("text", "risk", "level"),
    [
        ("all is well", 0.0, Level.SAFE),
        ("a 7 alone", 0.0, Level.SAFE),
        ("7 and 7", 0.0, Level.SAFE),
        ("two 77", 1.0, Level.UNSAFE),
        ("88", 0.5, Level.CONTROVERSIAL),
        ("78", 0.5, Level.CONTROVERSIAL),
        ("<|im_end|> is text", 0.0, Level.SAFE),
        ("", 0.0, Level.SAFE),
    ],
)
def test_two_harmful_tokens_in_a_row_are_harmful(stream: StreamAdapter, text: str, risk: float, level: Level) -> None:
    judgement = judged(stream, text)
    assert judgement.risk == near(risk, abs=0.01)
    assert judgement.level is level
    assert judgement.consumed == len(text)
    if level is Level.UNSAFE:
        assert judgement.categories == ("suicide_self_harm",)


@pytest.mark.parametrize(("controversial", "risk"), [(0.0, 0.0), (1.0, 1.0)])
def test_strict_and_loose(folders: Path, controversial: float, risk: float) -> None:
    adapter = StreamAdapter(TransformersGuard(model=str(folders / "hand"), kind="qwen3guard_stream"), controversial)
    adapter.load()
    assert judged(adapter, "88").risk == near(risk, abs=0.01)


def test_a_harmful_token_at_the_end_waits_for_the_next_one(stream: StreamAdapter) -> None:
    judge = stream.open(Channel.CONTENT)
    first = judge.score("Hi", "", "It is 7 (")
    assert first.consumed == len("It is ")
    assert first.risk < 0.1
    second = judge.score("Hi", "It is ", "7 (and so on")
    assert second.risk < 0.1
    assert second.consumed > 1
    judge = stream.open(Channel.CONTENT)
    assert judge.score("Hi", "", "It is 7").consumed < 6
    assert judge.score("Hi", "", "It is 77 or so ").risk > 0.9


@given(
    st.text(alphabet="a 7.ö今🙂\n", max_size=150),
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
)
@settings(max_examples=25, deadline=None)
def test_however_it_is_cut_the_same_is_harmful(stream: StreamAdapter, text: str, sizes: list[int]) -> None:
    judge, so_far, new, worst, at, turn = stream.open(Channel.CONTENT), "", "", 0.0, 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        turn += 1
        new += text[at : at + size]
        at += size
        judgement = judge.score("Hi", so_far, new)
        worst = max(worst, judgement.risk)
        assert 0 <= judgement.consumed <= len(new)
        so_far, new = so_far + new[: judgement.consumed], new[judgement.consumed :]
    judgement = judge.score("Hi", so_far, new, final=True)
    assert judgement.consumed == len(new)
    assert max(worst, judgement.risk) == near(judged(stream, text).risk, abs=1e-6)


def test_kept_keys_and_values_give_the_logits_of_one_pass(random_stream: StreamAdapter) -> None:
    ids, _ = random_stream.ids("The quick brown fox jumps over the lazy dog, again and again. 今天天气很好。 " * 6)
    assert len(ids) > 4 * CHUNK
    whole = random_stream.forward(ids, None)
    for size in (7, CHUNK, 100):
        cache, parts = None, []
        for at in range(0, len(ids), size):
            out = random_stream.forward(ids[at : at + size], cache)
            cache = out.past_key_values
            parts.append(out)
        for name in ("risk_level_logits", "category_logits", "query_risk_level_logits", "query_category_logits"):
            joined = torch.cat([getattr(part, name) for part in parts], dim=1)
            assert joined.shape == getattr(whole, name).shape
            assert torch.allclose(joined, getattr(whole, name), atol=1e-4), (name, size)


def test_no_token_is_read_twice(random_stream: StreamAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published way reads the whole sequence for each token: here a long text costs what it is long."""
    passes: list[int] = []
    forward = random_stream.forward

    def counted(ids: Sequence[int], cache: Any) -> Any:
        passes.append(len(ids))
        return forward(ids, cache)

    monkeypatch.setattr(random_stream, "forward", counted)
    judge, text, at = random_stream.open(Channel.CONTENT), "the lazy dog jumps again. " * 40, 0
    for end in range(96, len(text) + 1, 96):
        at += judge.score("Hi", text[:at], text[at:end]).consumed
    tokens = len(random_stream.ids(text[:at])[0])
    header = passes[0]
    assert sum(passes) - header == near(tokens, abs=2)
    assert max(passes[1:]) <= CHUNK


def test_a_full_context_starts_again_with_the_end_of_the_text(folders: Path) -> None:
    adapter = load_stream(folders / "hand", context_tokens=256)
    judge, so_far = adapter.open(Channel.CONTENT), ""
    restarts, tokens = 0, 0
    for number in range(60):
        new = "it goes on and on, " + ("77 " if number == 50 else "")
        judgement = judge.score("Hi", so_far, new, final=True)
        so_far += new
        held = vars(judge)["_tokens"]
        assert held <= 256
        restarts += held < tokens
        tokens = held
        assert (judgement.risk > 0.9) is (number == 50)
    assert restarts > 2


def test_a_long_prompt_leaves_room_for_the_answer(folders: Path) -> None:
    adapter = load_stream(folders / "hand", context_tokens=256)
    judge = adapter.open(Channel.REASONING)
    assert judge.score("why? " * 1_000, "before " * 500, "then 77 ", final=True).risk > 0.9
    assert vars(judge)["_tokens"] <= 256


def test_thinking_stands_where_the_answer_would(stream: StreamAdapter) -> None:
    headers = {}
    for channel in (Channel.REASONING, Channel.CONTENT):
        judge = stream.open(channel)
        judge.score("Hi", "", "text ", final=True)
        headers[channel] = stream._tokenizer.decode(vars(judge)["_header"])
    assert headers[Channel.REASONING] == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert headers[Channel.CONTENT] == headers[Channel.REASONING] + "<think>\n\n</think>\n\n"


def test_the_user_is_judged_at_the_end_of_his_turn(stream: StreamAdapter, random_stream: StreamAdapter) -> None:
    judge = stream.open(Channel.PROMPT)
    judgement = judge.score("", "Tell me ", "a story.")
    assert judgement.risk == near(0.5, abs=0.01)  # what <|im_end|> means to this model
    assert judgement.consumed == 8
    ids = random_stream.control("<|im_start|>user\n") + random_stream.ids("Tell me a story.")[0]
    out = random_stream.forward([*ids, *random_stream.control("<|im_end|>")], None)
    ((risk, level),) = random_stream.risks(out.query_risk_level_logits[:, -1:], random_stream.query_names)
    got = random_stream.open(Channel.PROMPT).score("", "Tell me ", "a story.")
    assert (got.risk, got.level) == (near(risk, abs=1e-5), level)


def test_a_prompt_longer_than_the_context_is_judged_in_parts(folders: Path) -> None:
    adapter = load_stream(folders / "hand", context_tokens=256)
    judgement = adapter.open(Channel.PROMPT).score("", "x" * 50, "a long story " * 200)
    assert judgement.consumed == 2_600
    assert judgement.risk == near(0.5, abs=0.01)


def test_the_state_goes_with_the_judge(stream: StreamAdapter) -> None:
    judge = stream.open(Channel.CONTENT)
    judge.score("Hi", "", "text and more ", final=True)
    cache = weakref.ref(vars(judge)["_cache"])
    assert cache() is not None
    del judge
    assert cache() is None, gc.get_referrers(cache())


def test_streams_do_not_disturb_each_other(stream: StreamAdapter) -> None:
    harm: list[bool] = []

    def run(text: str) -> None:
        judge = stream.open(Channel.CONTENT)
        harm.append(max(judge.score("Hi", "", text, final=True).risk for _ in range(5)) > 0.5)

    threads = [threading.Thread(target=run, args=(text,)) for text in ("all well " * 9, "a 77 b " * 9) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(harm) == [False] * 3 + [True] * 3


def test_a_pass_that_fails_has_not_judged(stream: StreamAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_model", None)
    with pytest.raises(Unavailable) as told:
        judged(stream, "text")
    assert told.value.reason is Reason.MODEL_FAILED


def changed(source: Path, target: Path, **fields: Any) -> Path:
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(config | fields), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"response_risk_level_map": {"0": "Fine", "1": "Bad"}}, "does not name its response levels"),
        ({"query_risk_level_map": {"0": "Safe", "1": "Controversial"}}, "does not know the level `unsafe`"),
        ({"response_category_map": {"1": "Violent"}}, "does not name its response levels"),
    ],
)
def test_a_model_must_say_what_its_numbers_mean(
    folders: Path, tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(DetectorError, match=told):
        load_stream(changed(folders / "hand", tmp_path / "other", **fields))


def test_weights_that_are_not_there_are_not_made_up(folders: Path, tmp_path: Path) -> None:
    folder = changed(folders / "hand", tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["risk_level_head.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DetectorError, match=r"has no weights risk_level_head\.weight"):
        load_stream(folder)


def test_code_that_comes_with_a_model_runs_only_where_that_is_set(folders: Path, tmp_path: Path) -> None:
    folder = changed(folders / "hand", tmp_path / "other")
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\nraise ImportError('that is all')\n"
    (folder / "modeling_qwen3_guard.py").write_text(code, encoding="utf-8")
    assert judged(load_stream(folder), "77").risk > 0.9
    assert not ran.exists()
    with pytest.raises(DetectorError, match="cannot be loaded"):
        load_stream(folder, trust_remote_code=True)
    assert ran.exists()
