"""`workflow-manager sample`: fill buckets with made-up batches."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from workflow_manager import flag_types
from workflow_manager.assembly import open_stores
from workflow_manager.config.flags import Flags
from workflow_manager.config.run_config import Given
from workflow_manager.config.run_flags import BUCKET_FLAGS, RETRY_FLAGS, Group
from workflow_manager.core.windows import HOUR
from workflow_manager.errors import ConfigError, Mistake
from workflow_manager.pipeline.stage import Stage
from workflow_manager.ports import ObjectStore, Option
from workflow_manager.sampling import BucketRole, Recipe, SampleObject, aggregation_names, make

SUMMARY = "Write sample batches to buckets. The same flags always produce the same batches."
WORKERS = 32


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise ValueError("not a number from 0 to 1")
    return share


_RECIPE = Group(
    "What to write",
    (
        Option(
            "end",
            "write batches for the whole hours before this time (RFC 3339; default now)",
            parse=flag_types.instant,
        ),
        Option("aggregations", "number of aggregations", "3", flag_types.at_least_one),
        Option("hours", "hours with batches", "24", flag_types.at_least_one),
        Option("batches-per-hour", "batches in each hour of each aggregation", "5", flag_types.at_least_one),
        Option("incomplete", "fraction of the batches that lack an object", "0.05", _share),
        Option("missing-peer", "fraction of the batches that the peer has not validated", "0.1", _share),
        Option("malformed", "malformed names to add, as a fraction of the batches", "0.02", _share),
        Option("seed", "seed for the generated data", "1", flag_types.at_least_one),
        Option("is-first", "whether we are the first processor", "false", flag_types.boolean, is_switch=True),
    ),
)
_OPTIONAL_BUCKETS = Group(
    BUCKET_FLAGS.title, tuple(option._replace(required=False) for option in BUCKET_FLAGS.options)
)
FLAGS = Flags("sample", SUMMARY, [_OPTIONAL_BUCKETS, _RECIPE, RETRY_FLAGS])
_PLACES = {
    "ingestor-input": BucketRole.INGESTION,
    "own-validation-input": BucketRole.OWN,
    "peer-validation-input": BucketRole.PEER,
}


Progress = Callable[[Iterable[SampleObject]], Iterable[SampleObject]]


def flags() -> Flags:
    """The flags of `sample`."""
    return FLAGS


def sample(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Write the objects of each bucket that a URL is given for; `environ` stands in for the process's."""
    environ = dict(os.environ) if environ is None else environ
    parsed = FLAGS.parse(arguments, environ)
    with ExitStack() as opened:
        mistakes = parsed.all_mistakes()
        stores = open_stores(parsed, environ, opened, mistakes)
        if not stores and not mistakes:
            mistakes.append(Mistake("", "", "set the URL of at least one bucket, such as --ingestor-input"))
        if mistakes:
            raise ConfigError(mistakes)
        recipe = _recipe(Given(parsed.values))
        if recipe.hours > (recipe.end - datetime.min.replace(tzinfo=UTC)) // HOUR:
            raise ConfigError(
                [Mistake("--hours", str(recipe.hours), "the batches would begin before year 1")]
            )
        wanted = {_PLACES[flag]: store for flag, store in stores.items()}
        written = write(recipe, wanted, _progress(recipe.batches))
    print(
        f"wrote {written} objects of {recipe.batches} batches, up to {recipe.end:%Y-%m-%dT%H:%M:%SZ}:"
        f" aggregations {', '.join(aggregation_names(recipe.aggregations))}"
    )
    return 0


def write(
    recipe: Recipe,
    stores: Mapping[BucketRole, ObjectStore],
    progress: Callable[[Iterable[SampleObject]], Iterable[SampleObject]] = iter,
) -> int:
    """Put the objects of a recipe into those of its buckets that are given; how many that were."""
    writing = Stage("write", WORKERS)
    written = 0
    for made in progress(make(recipe)):
        if (store := stores.get(made.bucket)) is not None:
            writing.submit(store.put, made.key, made.body)
            written += 1
    writing.drain()
    return written


def _recipe(given: Given) -> Recipe:
    return Recipe(
        end=given.optional("end", datetime) or datetime.now(UTC),
        aggregations=given.get("aggregations", int),
        hours=given.get("hours", int),
        batches_per_hour=given.get("batches-per-hour", int),
        incomplete=given.get("incomplete", float),
        missing_peer=given.get("missing-peer", float),
        malformed=given.get("malformed", float),
        seed=given.get("seed", int),
        is_first=given.get("is-first", bool),
    )


def _progress(batches: int) -> Progress:
    """A progress bar where someone can see it; nothing elsewhere."""
    if not sys.stderr.isatty():
        return iter
    from rich.console import Console  # noqa: PLC0415 (for terminals only)
    from rich.progress import track  # noqa: PLC0415 (as above)

    console = Console(stderr=True)
    return lambda made: track(made, "writing", total=8 * batches, console=console)
