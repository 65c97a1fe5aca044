"""Flags in Go's syntax, and their twins in the environment."""

import pytest

from workflow_manager import flag_types
from workflow_manager.config.flags import Flags, Parsed, misspelt_variables, strange_variables
from workflow_manager.config.run_flags import Group
from workflow_manager.errors import HelpRequested
from workflow_manager.ports import Option

FLAGS = Flags(
    "run",
    "Runs.",
    [
        Group(
            "Some",
            (
                Option("age", "how old", "1h"),
                Option("topic", "where to", required=True),
                Option("first", "who", "false", flag_types.boolean, is_switch=True),
                Option("workers", "how many", "100", flag_types.at_least_one),
                Option(
                    "create-topics",
                    "make",
                    "false",
                    flag_types.boolean,
                    is_switch=True,
                    aliases=("make-topics",),
                ),
            ),
        )
    ],
)
DEFAULTS = {"age": "1h", "first": False, "workers": 100, "create-topics": False}


def parse(*arguments: str, **environ: str) -> Parsed:
    return FLAGS.parse(arguments, environ)


def problems(parsed: Parsed) -> list[str]:
    return [str(mistake) for mistake in parsed.all_mistakes()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--topic", "t"], {"topic": "t"}),
        (["-topic", "t"], {"topic": "t"}),
        (["--topic=t"], {"topic": "t"}),
        (["-topic=t"], {"topic": "t"}),
        (["--topic=a=b"], {"topic": "a=b"}),
        (["--topic", "a", "--topic", "b"], {"topic": "b"}),
        (["--topic", "t", "--first"], {"topic": "t", "first": True}),
        (["--topic", "t", "-first=false"], {"topic": "t", "first": False}),
        (["--topic", "t", "--first=T"], {"topic": "t", "first": True}),
        (["--first", "--topic", "t"], {"topic": "t", "first": True}),
        (["--topic", "t", "--age", ""], {"topic": "t"}),
        (["--topic", "t", "--age="], {"topic": "t"}),
        (["--topic", "t", "--age", "-5m"], {"topic": "t", "age": "-5m"}),
        (["--topic", "--age"], {"topic": "--age"}),
        (["--topic", "t", "--make-topics"], {"topic": "t", "create-topics": True}),
        (["--topic", "t", "--"], {"topic": "t"}),
    ],
)
def test_gos_syntax(arguments: list[str], expected: dict[str, object]) -> None:
    parsed = parse(*arguments)
    assert problems(parsed) == []
    assert parsed.values == DEFAULTS | expected


def test_the_environment_stands_in_for_a_flag_that_is_absent_or_empty() -> None:
    twins = {"WORKFLOW_MANAGER_TOPIC": "t", "WORKFLOW_MANAGER_AGE": "2h", "WORKFLOW_MANAGER_FIRST": "true"}
    assert parse(**twins).values == DEFAULTS | {"topic": "t", "age": "2h", "first": True}
    assert parse("--age=", **twins).values["age"] == "2h"
    assert parse("--age", "3h", **twins).values["age"] == "3h"
    assert parse("--topic", "t", WORKFLOW_MANAGER_AGE="").values["age"] == "1h"


def test_all_mistakes_are_found_at_once() -> None:
    parsed = parse("--wrkers", "3", "--workers", "many", "stray", "--first=maybe", "--age")
    assert problems(parsed) == [
        "--wrkers: unknown flag; did you mean --workers?",
        "unexpected word 'stray' (a boolean flag takes =true or =false)",
        "--age: needs a value",
        "--topic: is required (or set WORKFLOW_MANAGER_TOPIC)",
        "--first='maybe': not a boolean (true or false)",
        "--workers='many': not a positive whole number",
    ]


@pytest.mark.parametrize("word", ["true", "false", "T", "False"])
def test_a_boolean_behind_a_space_is_refused_and_the_flags_behind_it_are_read(word: str) -> None:
    parsed = parse("--first", word, "--topic", "t", "--wrkers=1")
    assert problems(parsed) == [
        "--wrkers: unknown flag; did you mean --workers?",
        f"--first {word}: a boolean takes its value after an equals sign: write --first={word}",
    ]
    assert parsed.values["topic"] == "t"


class TestVariables:
    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("WORKFLOW_MANAGER_WORKER", "WORKFLOW_MANAGER_WORKERS"),
            ("WORKFLOW_MANAGER_TOPICS", "WORKFLOW_MANAGER_TOPIC"),
            ("WORKFLOW_MANAGER_CREATE_TPOICS", "WORKFLOW_MANAGER_CREATE_TOPICS"),
            ("WORKFLOW_MANAGER_MAKE_TOPICS", "WORKFLOW_MANAGER_CREATE_TOPICS"),
        ],
    )
    def test_one_that_is_nearly_a_flags_is_a_mistake(self, variable: str, meant: str) -> None:
        [mistake] = misspelt_variables(strange_variables({variable: "x"}, FLAGS), FLAGS)
        assert str(mistake) == f"{variable}: unknown variable; did you mean {meant}?"

    @pytest.mark.parametrize(
        "variable",
        [
            "WORKFLOW_MANAGER_TOPIC",
            "WORKFLOW_MANAGER_VERSION",
            "WORKFLOW_MANAGER",
            "MY_WORKFLOW_MANAGER_WORKER",
        ],
    )
    def test_others_are_left_alone(self, variable: str) -> None:
        assert misspelt_variables(strange_variables({variable: "x"}, FLAGS), FLAGS) == []


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    assert problems(parse("--topic=t", WORKFLOW_MANAGER_WORKERS="0")) == [
        "WORKFLOW_MANAGER_WORKERS='0': not a positive whole number"
    ]


@pytest.mark.parametrize("token", ["---topic", "--=x", "--topic-", "-t"])
def test_what_is_no_flag_is_refused(token: str) -> None:
    assert parse("--topic=t", token).unknown


@pytest.mark.parametrize(
    ("token", "everything"),
    [("-h", False), ("--help", False), ("-help", False), ("--help-all", True), ("-help-all", True)],
)
def test_help_is_asked_for_in_several_ways(token: str, *, everything: bool) -> None:
    with pytest.raises(HelpRequested) as request:
        parse("--wrkers=3", token)
    assert request.value.everything is everything


def test_the_value_of_a_flag_is_no_request_for_help() -> None:
    assert parse("--topic", "--help").values["topic"] == "--help"
