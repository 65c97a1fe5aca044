"""For each command: the flags that are used most, and examples. `--help` begins with these."""

from typing import NamedTuple


class Example(NamedTuple):
    """A command line, in parts that are printed a line each, and what it does."""

    about: str
    parts: tuple[str, ...]

    def shown(self) -> str:
        """The command line as it is printed, and can be pasted into a shell."""
        return " \\\n".join(f"  {'  ' if number else ''}{part}" for number, part in enumerate(self.parts))

    def words(self) -> list[str]:
        """The command line in words, as a shell would split it."""
        import shlex  # noqa: PLC0415 (only tests and the manual page need it)

        return shlex.split(" ".join(self.parts))


class Guide(NamedTuple):
    """What helps with one command."""

    common: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()


_BUCKETS = (
    "--ingestor-input s3://eu-west-1/ingestion",
    "--own-validation-input s3://eu-west-1/own",
    "--peer-validation-input gs://peer",
)
_DIRECTORIES = (
    "--ingestor-input file:///tmp/wm/ingestion",
    "--own-validation-input file:///tmp/wm/own",
    "--peer-validation-input file:///tmp/wm/peer",
)
_SQLITE = (
    "--task-queue-kind sqlite --sqlite-path /tmp/wm/tasks.db",
    "--intake-tasks-topic intake --aggregate-tasks-topic aggregate",
)
_WINDOWS = ("is-first", "intake-max-age", "aggregation-period", "grace-period")
_ON_BUCKETS = ("ingestor-input", "own-validation-input", "peer-validation-input", *_WINDOWS)
_ON_QUEUES = (*_ON_BUCKETS, "task-queue-kind", "intake-tasks-topic", "aggregate-tasks-topic")

GUIDES = {
    "run": Guide(
        (
            *_ON_QUEUES,
            "dry-run",
            "push-gateway",
            "k8s-namespace",
            "ingestor-label",
            "json",
            "config",
            "instance",
        ),
        (
            Example(
                "what one pass over directories would schedule, without doing it",
                ("workflow-manager run --dry-run", *_DIRECTORIES, *_SQLITE),
            ),
            Example(
                "one pass over cloud buckets, published to SNS",
                (
                    "workflow-manager run --is-first --aggregation-period 8h",
                    *_BUCKETS,
                    "--task-queue-kind aws-sns --aws-sns-region eu-west-1",
                    "--intake-tasks-topic arn:aws:sns:eu-west-1:123456789012:intake",
                    "--aggregate-tasks-topic arn:aws:sns:eu-west-1:123456789012:aggregate",
                ),
            ),
            Example(
                "one pass over the instances of a file whose names begin with na-",
                ("workflow-manager run --config instances.yaml --instance 'na-*'",),
            ),
        ),
    ),
    "serve": Guide(
        (
            "config",
            "instance",
            "listen",
            "interval",
            "ingestor-notifications",
            "peer-notifications",
            "shard",
            "log-level",
        ),
        (
            Example("serve all instances of a file", ("workflow-manager serve --config instances.yaml",)),
            Example(
                "serve a quarter of them, as the index of the pod says",
                (
                    "workflow-manager serve --config instances.yaml --listen '*:9090'",
                    "--shard auto --shard-count 4",
                ),
            ),
        ),
    ),
    "status": Guide(
        (*_ON_BUCKETS, "since", "until", "aggregation-id", "json", "fail-on", "config", "instance"),
        (
            Example("the last three days", ("workflow-manager status", *_DIRECTORIES)),
            Example(
                "for a script: status 4 if windows were missed in the last week",
                ("workflow-manager status --since 7d --fail-on missed", *_DIRECTORIES),
            ),
            Example(
                "the instances of a file whose names begin with na-",
                ("workflow-manager status --config instances.yaml --instance 'na-*'",),
            ),
        ),
    ),
    "explain": Guide(
        (*_ON_BUCKETS, "since", "aggregation-id", "json", "config", "instance"),
        (
            Example(
                "one batch, wherever it is",
                ("workflow-manager explain 0f3ef8c4-1c5c-4a8a-9a56-9b0f3a4b8c11", *_DIRECTORIES),
            ),
            Example(
                "the window that begins at midnight",
                ("workflow-manager explain kittens-seen 2026-01-15T00:00:00Z", *_DIRECTORIES),
            ),
        ),
    ),
    "backfill": Guide(
        (
            *(*_ON_QUEUES, "from", "to", "aggregation-id", "only", "again", "reason", "marker", "dry-run"),
            *("yes", "config", "instance"),
        ),
        (
            Example(
                "what runs have missed in the last three days, without scheduling it",
                ("workflow-manager backfill --from 3d --to 4h --dry-run", *_DIRECTORIES, *_SQLITE),
            ),
            Example(
                "schedule the missed windows of one aggregation, without asking",
                (
                    "workflow-manager backfill --from 3d --to 4h --only aggregate --yes",
                    "--aggregation-id kittens-seen",
                    *_DIRECTORIES,
                    *_SQLITE,
                ),
            ),
        ),
    ),
    "markers": Guide(
        ("own-validation-input", "older-than", "aggregation-id", "json", "dry-run"),
        (
            Example(
                "which markers are older than 400 days, without deleting them",
                ("workflow-manager markers prune --older-than 400d --dry-run", *_DIRECTORIES),
            ),
        ),
    ),
    "check": Guide(
        (*_ON_QUEUES, "push-gateway", "json", "config", "instance"),
        (Example("before the first run", ("workflow-manager check", *_DIRECTORIES, *_SQLITE)),),
    ),
    "tasks": Guide(
        ("task-queue-kind", "topic", "max", "json", "from", "to", "aggregation-id", "dry-run"),
        (
            Example(
                "the messages that a worker would receive",
                ("workflow-manager tasks list --json", "--sqlite-path /tmp/wm/tasks.db --topic intake"),
            ),
            Example(
                "put dead letters back",
                (
                    "workflow-manager tasks redrive --from intake-dead --to intake",
                    "--task-queue-kind gcp-pubsub --gcp-project-id project",
                ),
            ),
        ),
    ),
    "jobs": Guide(
        (
            *("failed", "finished", "state", "task", "aggregation-id", "older-than", "json"),
            *("kubernetes-namespace", "kubernetes-context"),
        ),
        (
            Example("which tasks failed, and why", ("workflow-manager jobs list --failed",)),
            Example(
                "create the failed Jobs of one aggregation again",
                ("workflow-manager jobs retry --failed --aggregation-id kittens-seen",),
            ),
            Example(
                "delete Jobs that finished an hour ago or earlier",
                ("workflow-manager jobs delete --finished --older-than 1h",),
            ),
        ),
    ),
    "instances": Guide(
        (),
        (
            Example("a file to begin with", ("workflow-manager instances example",)),
            Example(
                "check a file, and list its instances",
                ("workflow-manager instances list --config instances.yaml",),
            ),
        ),
    ),
    "sample": Guide(
        (
            *("ingestor-input", "own-validation-input", "peer-validation-input"),
            *("end", "aggregations", "hours", "batches-per-hour", "seed", "is-first"),
        ),
        (Example("a day of batches in directories", ("workflow-manager sample", *_DIRECTORIES)),),
    ),
    "demo": Guide((), (Example("see what the program does", ("workflow-manager demo",)),)),
    "completion": Guide(
        (),
        (
            Example("in this shell", ("source <(workflow-manager completion bash)",)),
            Example(
                "in each new shell",
                (
                    "workflow-manager completion bash",
                    "> ~/.local/share/bash-completion/completions/workflow-manager",
                ),
            ),
            Example("for zsh", ("source <(workflow-manager completion zsh)",)),
            Example(
                "for fish",
                ("workflow-manager completion fish", "> ~/.config/fish/completions/workflow-manager.fish"),
            ),
        ),
    ),
}
