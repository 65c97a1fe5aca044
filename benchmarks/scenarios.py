"""What is measured, and what the Go program took for it."""

from dataclasses import dataclass, field

from filling import Filling


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run took: wall and CPU time (user and system) in seconds, peak memory in MB, requests."""

    wall: float
    cpu: float | None = None
    memory: float | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run to measure.

    With `has_latency` each request takes as long as the command line says, else as short as
    it can. `reference` has the Go program's figures by kind of storage, and `goals` how many
    times faster than that we mean to be. It is a `command` other than `run` that is measured, if
    one is named.
    """

    about: str
    filling: Filling
    has_latency: bool = True
    flags: tuple[str, ...] = ()
    command: str = "run"
    reference: dict[str, Figures] = field(default_factory=dict)
    goals: dict[str, float] = field(default_factory=dict)

    def sequential_requests(self) -> int:
        """The longest chain of requests of which each needs the one before it, at the least.

        The aggregations' names; the pages of an hour, each of which says where the next
        begins; the markers; and for new batches, the messages and their markers. Everything
        else could be done at the same time by a program with no limits.
        """
        pages = -(-3 * self.filling.batches_per_hour // PAGE)
        return 1 + pages + 1 + (2 if self.filling.new else 0)


PAGE = 1000  # most names in a page of a listing, in both clouds
REFERENCE_LATENCY = 0.02  # seconds a request took for the reference figures of scenarios with latency

# The Go program's figures, measured on another server of these protocols, on 2 cores.
SCENARIOS = {
    "tiny": Scenario(
        "3 aggregations of 24 marked batches",
        Filling(3, 24, 1, marked=1, aggregated=True),
        reference={"s3": Figures(7.5), "gcs": Figures(0.56)},
        goals={"s3": 12, "gcs": 1.2},
    ),
    "burst": Scenario(
        "960 new batches",
        Filling(1, 24, 40, marked=0, aggregated=False),
        reference={"s3": Figures(43), "gcs": Figures(46)},
        goals={"s3": 40, "gcs": 40},
    ),
    "steady": Scenario(
        "24,000 marked batches in one aggregation",
        Filling(1, 24, 1000, marked=1, aggregated=True),
        reference={"s3": Figures(7.2), "gcs": Figures(3.7)},
        goals={"s3": 8, "gcs": 4},
    ),
    "many": Scenario(
        "40 aggregations of 240 marked batches",
        Filling(40, 24, 10, marked=1, aggregated=True),
        reference={"s3": Figures(99, requests=4521), "gcs": Figures(6.8)},
        goals={"s3": 50, "gcs": 5},
    ),
    "huge": Scenario(
        "240,000 marked batches in one aggregation",
        Filling(1, 24, 10_000, marked=1, aggregated=True),
        has_latency=False,
        reference={"s3": Figures(33, cpu=33, memory=256), "gcs": Figures(10, cpu=9, memory=753)},
        goals={"s3": 8, "gcs": 3},
    ),
    # Ten times the hours of `steady`, to see what that does to the memory.
    "long": Scenario(
        "240,000 marked batches in one aggregation, of ten days",
        Filling(1, 240, 1000, marked=1, aggregated=True),
        flags=("--intake-max-age=240h",),
    ),
    # One hour has to fit as a whole.
    "hour": Scenario(
        "100,000 marked batches in one hour",
        Filling(1, 1, 100_000, marked=1, aggregated=True),
    ),
    # What `status` takes for a week, and for four, which shows whether memory grows with the range.
    "week": Scenario(
        "status over a week of 24,000 marked batches a day",
        Filling(1, 7 * 24, 1000, marked=1, aggregated=True),
        flags=("--since=7d",),
        command="status",
    ),
    "month": Scenario(
        "status over four weeks of 24,000 marked batches a day",
        Filling(1, 28 * 24, 1000, marked=1, aggregated=True),
        flags=("--since=28d",),
        command="status",
    ),
    # Its aggregation is marked: with 16,000 batches its message would be over the limit of SNS.
    "fresh": Scenario(
        "48,000 new batches in one aggregation",
        Filling(1, 24, 2000, marked=0, aggregated=True),
        has_latency=False,
        reference={"s3": Figures(49)},
        goals={"s3": 3},
    ),
}
