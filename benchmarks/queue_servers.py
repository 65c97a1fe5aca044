"""Runs a server for each kind of queue, for queues.py, as a process of its own: it is larger than a run.

It prints one line of JSON: for each kind the flags and the environment that a run needs, or why
there is no server. It ends with its standard input.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving import serving

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import moto, pubsub
from servers.brokers import nats_server, rabbitmq_server, redis_server

Setting = tuple[list[str], dict[str, str]]  # flags, environment
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
TOPICS = ("intake", "aggregate")


def main() -> None:
    """Start what can be started, and wait."""
    with ExitStack() as opened, tempfile.TemporaryDirectory(prefix="queues-") as folder:
        servers = _Servers(opened, Path(folder))
        settings: dict[str, Setting | str] = {}
        kinds: dict[str, Callable[[], Setting]] = {
            "gcp-pubsub": servers.pubsub,
            "aws-sns": servers.sns,
            "aws-sqs": servers.sqs,
            "redis": servers.redis,
            "nats": servers.nats,
            "rabbitmq": servers.rabbitmq,
        }
        for kind, start in kinds.items():
            try:
                settings[kind] = start()
            except pytest.skip.Exception as absent:
                settings[kind] = str(absent)
        print(json.dumps(settings), flush=True)
        sys.stdin.read()


class _Servers:
    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self._opened = opened
        self._folder = folder

    def pubsub(self) -> Setting:
        url = self._opened.enter_context(pubsub.pubsub(self._room("pubsub")))
        flags = ["--gcp-project-id=benchmark", "--gcp-pubsub-create-topics", *_topics(*TOPICS)]
        return flags, {"PUBSUB_EMULATOR_HOST": url}

    def sns(self) -> Setting:
        # Not moto, which looks at all messages it holds whenever another comes.
        url = self._opened.enter_context(serving(tls=False)).url
        arns = [f"arn:aws:sns:{moto.REGION}:{moto.ACCOUNT}:{topic}" for topic in TOPICS]
        return ["--aws-sns-region", moto.REGION, *_topics(*arns)], {"AWS_ENDPOINT_URL": url, **KEYS}

    def sqs(self) -> Setting:
        url = self._opened.enter_context(moto.moto(self._room("moto")))
        queues = [moto.make_queue(url, topic) for topic in TOPICS]
        return ["--aws-sqs-region", moto.REGION, *_topics(*queues)], {"AWS_ENDPOINT_URL": url, **KEYS}

    def redis(self) -> Setting:
        url = self._opened.enter_context(redis_server(self._room("redis")))
        return ["--redis-url", url, *_topics(*TOPICS)], {}

    def nats(self) -> Setting:
        url = self._opened.enter_context(nats_server(self._room("nats")))
        return ["--nats-url", url, "--nats-create-stream=tasks", *_topics(*TOPICS)], {}

    def rabbitmq(self) -> Setting:
        url = self._opened.enter_context(rabbitmq_server(self._room("rabbitmq")))
        return ["--rabbitmq-url", url, "--rabbitmq-declare-queues", *_topics(*TOPICS)], {}

    def _room(self, name: str) -> Path:
        room = self._folder / name
        room.mkdir()
        return room


def _topics(intake: str, aggregate: str) -> list[str]:
    return [f"--intake-tasks-topic={intake}", f"--aggregate-tasks-topic={aggregate}"]


if __name__ == "__main__":
    main()
