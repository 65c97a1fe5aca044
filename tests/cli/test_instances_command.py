"""`workflow-manager instances`: what an editor and a newcomer need to write a file of instances."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from workflow_manager.cli.instances import instances_schema
from workflow_manager.cli.main import main
from workflow_manager.config.instances_schema import example

SCHEMA = json.loads(instances_schema())


def problems(text: str) -> list[str]:
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))
    return ["/".join(map(str, error.absolute_path)) for error in found]


def test_the_schema_is_one_and_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert main(["instances", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_the_example_is_printed_and_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["instances", "example"]) == 0
    text = capsys.readouterr().out
    assert text == example()
    assert problems(text) == []
    (tmp_path / "fleet.yaml").write_text(text)
    monkeypatch.setenv("PUSH_GATEWAY", "http://gateway:9091")
    assert main(["instances", "list", "--config", str(tmp_path / "fleet.yaml")]) == 0
    assert capsys.readouterr().out == "na-ingestor-1\nna-ingestor-2\n"


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ("grace-period: 1h30m", True),
        ("grace-period: soon", False),
        ("is-first: true", True),
        ("is-first: maybe", False),
        ("max-list-workers: 7", True),
        ("max-list-workers: 0", False),
        ("push-gateway: {env: X}", True),
        ("push-gateway: {environment: X}", False),
        ("push-gateway: {env: X, file: Y}", False),
        ("k8s-namespace: null", True),
        ("k8s-namespace: [a]", False),
        ("create-pubsub-topics: true", True),
        ("log-level: debug", False),
        ("grace-perod: 1h", False),
    ],
)
def test_an_editor_sees_what_is_wrong(values: str, good: bool) -> None:  # noqa: FBT001 (the table's)
    assert (problems(f"instances: {{a: {{{values}}}}}") == []) is good


def test_mistakes_come_with_their_lines_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("instances:\n  a:\n    is-frist: true\n")
    assert main(["instances", "list", "--config", str(path)]) == 2
    assert f"{path}:3: a: is-frist: unknown key; did you mean is-first?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["instances"], "give one of instances list, instances example, instances schema"),
        (["instances", "lst"], "unknown action 'lst'"),
        (["instances", "example", "x"], "unexpected word 'x'"),
    ],
)
def test_what_is_no_action(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
