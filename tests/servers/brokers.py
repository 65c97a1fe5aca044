"""Redis, RabbitMQ and NATS, as Debian packages them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.process import find, free_port, serving

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one on the path changes to a user of its own


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """The URL of a Redis with nothing in it."""
    program = find("redis-server", "apt-get install redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    with serving(command, f"tcp://127.0.0.1:{port}", directory / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def nats_server(directory: Path) -> Iterator[str]:
    """The URL of a NATS server with JetStream on."""
    program = find("nats-server", "apt-get install nats-server")
    port = free_port()
    command = [program, "-js", "-sd", str(directory / "jetstream"), "-a", "127.0.0.1", "-p", str(port)]
    with serving(command, f"tcp://127.0.0.1:{port}", directory / "nats.log"):
        yield f"nats://127.0.0.1:{port}"


@contextmanager
def rabbitmq_server(directory: Path) -> Iterator[str]:
    """The URL of a RabbitMQ broker with no queues."""
    program = find(RABBITMQ, "apt-get install rabbitmq-server")
    port, distribution, names = free_port(), free_port(), free_port()
    # The broker would start this one itself, and leave it behind.
    epmd = [find("epmd", "apt-get install rabbitmq-server"), "-address", "127.0.0.1", "-port", str(names)]
    environ = {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"test-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }
    with (
        serving(epmd, f"tcp://127.0.0.1:{names}", directory / "epmd.log"),
        serving([program], f"tcp://127.0.0.1:{port}", directory / "rabbitmq.log", environ),
    ):
        yield f"amqp://guest:guest@127.0.0.1:{port}/"
