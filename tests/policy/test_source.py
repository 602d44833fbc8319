from __future__ import annotations

from pathlib import Path

import pytest

import guard
from guard.policy.problems import PolicyError
from guard.policy.source import builtin_policies, parse_policy, read_policy
from guard.policy.tree import MAX_BYTES

HEAD = "policy_version: 1\nname: house\n"


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path | str) -> list[tuple[str, int, int]]:
    """The problems of a policy that cannot even be read."""
    with pytest.raises(PolicyError) as caught:
        read_policy(path)
    return [(each.code, each.place.line, each.place.column) for each in caught.value.problems]


def test_built_in_policies_are_found_by_name() -> None:
    assert {"default", "strict", "reasoning", "observe_only"} <= set(builtin_policies())
    assert read_policy("default").policy.name == "default"


def test_a_file_is_found_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, "house.yaml", HEAD)
    assert read_policy(path).policy.name == "house"
    assert read_policy(str(path)).file == str(path)


def test_a_file_of_another_ending_is_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "house", HEAD)
    monkeypatch.chdir(tmp_path)
    assert read_policy("./house").policy.name == "house"


def test_an_unknown_name_is_told_with_those_that_exist() -> None:
    with pytest.raises(PolicyError) as caught:
        read_policy("strickt")
    assert "did you mean `strict`?; built in are default" in str(caught.value)
    assert "./strickt.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["gone.yaml", "./gone", "~nobody_here/x.yaml", "no/such/gone.yml", "x\x00.yaml", ""])
def test_a_file_that_is_not_there_is_told(name: str) -> None:
    assert refusal(name) == [("P106", 1, 1)]


def test_a_folder_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path) == [("P106", 1, 1)]


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b"policy_version: 1\nname: caf\xe9\n", 2, 10),
        (b"\xff\xfen\x00", 1, 1),
        (b"a: 1\n\xc3", 2, 1),
        ("é: ".encode() + b"\xe9", 1, 4),
    ],
)
def test_bytes_that_are_not_utf_8_are_told_with_their_place(tmp_path: Path, raw: bytes, line: int, column: int) -> None:
    assert refusal(write(tmp_path, "house.yaml", raw)) == [("P106", line, column)]


def test_a_file_too_large_is_told(tmp_path: Path) -> None:
    exact = HEAD.encode() + b"#" * (MAX_BYTES - len(HEAD))
    assert read_policy(write(tmp_path, "house.yaml", exact)).policy.name == "house"
    assert refusal(write(tmp_path, "house.yaml", exact + b"#")) == [("P106", 1, 1)]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path, "house.yaml", b"\xef\xbb\xbf" + HEAD.encode())
    assert read_policy(path).problems == ()


def test_what_is_sound_is_kept_beside_what_is_broken() -> None:
    text = (
        HEAD
        + "oops: 1\ndetectors: {a: {}, b: []}\nrules:\n  - {id: one, when: {detector: a}, do: cut}\n  - {id: two}\n"
    )
    source = parse_policy(text)
    assert [rule.id for rule in source.policy.rules] == ["one"]
    assert set(source.policy.detectors) == {"a", "b"}
    assert [problem.code for problem in source.problems] == ["P102", "P104", "P105", "P105"]


def test_yaml_that_is_refused_is_not_called_wrong_once_more() -> None:
    source = parse_policy(HEAD + "rules: &r []\ndetectors: *r\n")
    assert [problem.code for problem in source.problems] == ["P107", "P107"]


# ------------------------------------------------------------------------------------------------------------ extends


def rule(name: str, do: str = "cut", more: str = "") -> str:
    return f"rules:\n  - {{id: {name}, when: {{channel: content}}, do: {do}{more}}}\n"


def test_a_policy_extends_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    write(tmp_path, "base.yaml", HEAD.replace("house", "base") + "detectors: {a: {}}\n" + rule("one"))
    path = write(folder, "house.yaml", HEAD + "extends: ../base.yaml\n" + rule("two"))
    monkeypatch.chdir("/")  # the path is relative to the file, not to where we stand
    source = read_policy(path)
    assert source.problems == ()
    assert source.policy.name == "house"
    assert [each.id for each in source.policy.rules] == ["one", "two"]


def test_every_rule_keeps_the_place_where_it_was_written(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", HEAD + "\n\n" + rule("one"))
    path = write(tmp_path, "house.yaml", HEAD + "extends: ./base.yaml\n" + rule("two"))
    source = read_policy(path)
    assert (source.place("rules", 0, "id").file, source.place("rules", 0, "id").line) == (str(base), 6)
    assert (source.place("rules", 1, "id").file, source.place("rules", 1, "id").line) == (str(path), 5)


def test_a_policy_may_extend_a_policy_that_extends(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", HEAD + rule("one"))
    write(tmp_path, "b.yaml", HEAD + "extends: a.yaml\n" + rule("two"))
    path = write(tmp_path, "c.yaml", HEAD + "extends: b.yaml\n" + rule("three"))
    assert [each.id for each in read_policy(path).policy.rules] == ["one", "two", "three"]


def test_a_policy_may_extend_a_built_in_one(tmp_path: Path) -> None:
    path = write(tmp_path, "default.yaml", HEAD + "extends: default\n" + rule("one"))
    assert [each.id for each in read_policy(path).policy.rules] == [
        *(each.id for each in read_policy("default").policy.rules),
        "one",
    ]


def test_a_circle_is_told_where_it_closes(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", HEAD + "extends: b.yaml\n")
    write(tmp_path, "b.yaml", HEAD + "extends: ./a.yaml\n")
    source = read_policy(tmp_path / "a.yaml")
    (problem,) = source.problems
    assert (problem.code, Path(problem.place.file).name, problem.place.line) == ("P115", "b.yaml", 3)
    assert "a.yaml -> b.yaml -> a.yaml" in problem.message


def test_a_policy_cannot_extend_itself(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", HEAD + "extends: a.yaml\n")
    assert [problem.code for problem in read_policy(path).problems] == ["P115"]


def test_a_chain_has_an_end(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"p{number}.yaml", HEAD + f"extends: p{number + 1}.yaml\n")
    assert [problem.code for problem in read_policy(tmp_path / "p0.yaml").problems] == ["P115"]


def test_what_is_extended_but_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "house.yaml", HEAD + "extends: defualt\n" + rule("two"))
    source = read_policy(path)
    (problem,) = source.problems
    assert (problem.code, problem.place.line, problem.place.column) == ("P106", 3, 10)
    assert "did you mean `default`?" in problem.message
    assert not source.whole


def test_problems_of_both_files_are_told(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", HEAD + "oops: 1\n" + rule("one"))
    path = write(tmp_path, "house.yaml", HEAD + "extends: base.yaml\nouch: 1\n")
    problems = read_policy(path).problems
    assert [(problem.place.file, problem.place.line) for problem in problems] == [(str(base), 3), (str(path), 4)]


def test_in_a_wheel_the_policies_are_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "guard" / "_policies"
    shipped.mkdir(parents=True)
    write(shipped, "default.yaml", HEAD)
    monkeypatch.setattr(guard, "__file__", str(tmp_path / "guard" / "__init__.py"))
    assert builtin_policies() == {"default": shipped / "default.yaml"}


@pytest.mark.parametrize("named", ['"a\\0.yaml"', "~nobody_here/x.yaml", "./.", "''"])
def test_what_cannot_be_a_policy_is_told_where_it_is_named(tmp_path: Path, named: str) -> None:
    (problem,) = read_policy(write(tmp_path, "house.yaml", HEAD + f"extends: {named}\n")).problems
    assert (problem.code, problem.place.line, problem.place.column) == ("P106", 3, 10)


def test_a_file_beside_needs_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("house").write_bytes(builtin_policies()["observe_only"].read_bytes())
    assert read_policy("house").policy.name == "observe_only"
