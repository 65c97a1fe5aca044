"""What a run is told, as one configuration, and what is refused as a mistake in it."""

from datetime import UTC, datetime

import pytest

from workflow_manager.config.flags import Flags
from workflow_manager.config.run_config import RunConfig, configure
from workflow_manager.config.run_flags import GROUPS
from workflow_manager.errors import ConfigError

NOW = datetime(2026, 11, 23, 4, 20, tzinfo=UTC)
REQUIRED = (
    *("--ingestor-input=file:///i", "--own-validation-input=file:///o", "--peer-validation-input=file:///p"),
    *("--task-queue-kind=sqlite", "--intake-tasks-topic=intake", "--aggregate-tasks-topic=aggregate"),
)


def configured(*arguments: str) -> RunConfig:
    parsed = Flags("run", "", GROUPS).parse([*REQUIRED, *arguments], {})
    assert parsed.all_mistakes() == []
    return configure(parsed.values, NOW)


def mistakes(*arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(*arguments)
    return [str(mistake) for mistake in caught.value.mistakes]


class TestAWindowThatHasNotEnded:
    @pytest.mark.parametrize("time", ["202611230300", "202611230420", "202611230559", "202612010000"])
    def test_is_refused_with_its_end_and_the_way_out(self, time: str) -> None:
        [mistake] = mistakes(f"--aggregation-override-timestamp={time}")
        assert mistake.startswith(f"--aggregation-override-timestamp='{time}': its window ends at 2026-1")
        assert "it is 2026-11-23T04:20Z now" in mistake
        assert "--allow-unfinished-window" in mistake

    def test_is_taken_if_that_is_said(self) -> None:
        flags = ("--aggregation-override-timestamp=202611230420", "--allow-unfinished-window")
        assert configured(*flags).aggregation.end == datetime(2026, 11, 23, 6, tzinfo=UTC)

    def test_is_judged_by_the_time_that_is_given_instead_of_the_clocks(self) -> None:
        override = "--aggregation-override-timestamp=202611230259"
        assert configured(override).aggregation.end == datetime(2026, 11, 23, 3, tzinfo=UTC)
        assert len(mistakes(override, "--now=2026-11-23T02:59:59Z")) == 1
        assert configured(override, "--now=2026-11-23T03:00:00Z").aggregation.end.hour == 3

    def test_a_negative_grace_period_is_refused_unless_that_is_said(self) -> None:
        [mistake] = mistakes("--grace-period=-3h")
        assert mistake.startswith("--grace-period='-3h': must not be negative")
        allowed = configured("--grace-period=-3h", "--allow-unfinished-window")
        assert allowed.aggregation.end > NOW


class TestTimesThatNobodyLivesIn:
    def test_a_mistake_in_the_override_is_told_of_the_override(self) -> None:
        flags = ("--aggregation-override-timestamp=999912312359", "--allow-unfinished-window")
        [mistake] = mistakes(*flags)
        assert mistake == (
            "--aggregation-override-timestamp='999912312359':"
            " the aggregation window would fall outside years 1 to 9999"
        )

    def test_a_mistake_in_now_is_told_of_now(self) -> None:
        assert mistakes("--now=9999-12-31T23:00:00Z") == [
            "--now='9999-12-31T23:00:00+00:00': the intake window would fall outside years 1 to 9999"
        ]
        assert [mistake.split(":")[0] for mistake in mistakes("--now=0001-01-01T00:00:00Z")] == [
            "--now='0001-01-01T00"
        ] * 2


def test_one_topic_for_both_kinds_of_task_is_refused() -> None:
    [mistake] = mistakes("--aggregate-tasks-topic=intake")
    assert mistake.startswith("--aggregate-tasks-topic='intake': is also the topic for intake tasks")


def test_all_mistakes_are_found_at_once() -> None:
    flags = ("--aggregate-tasks-topic=intake", "--aggregation-period=90s", "--now=9999-12-31T23:00:00Z")
    assert len(mistakes(*flags)) == 3


def test_labels_are_those_that_were_given() -> None:
    assert configured().labels == {}
    assert configured("--ingestor-label=i").labels == {"ingestor": "i"}
    assert configured("--k8s-namespace=na", "--ingestor-label=i").labels == {
        "locality": "na",
        "ingestor": "i",
    }
