"""How fast tasks become Jobs of a real API server, beside kubectl and beside a client that only sends bytes.

    python benchmarks/kubernetes_jobs.py --jobs 5000 --in-flight 20

The same Jobs are created in three ways, each time in a namespace of their own: by the adapter, by
`kubectl create -f` of one file, and by threads that send requests that were prepared before, on
connections that are kept. The last is as fast as the server takes them. The ways take turns, and the
fastest of the rounds counts.
"""

import argparse
import http.client
import json
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers.kubernetes import ControlPlane, control_plane, kubectl
from support.jobs import TEMPLATE, jobs_queue, task_body
from workflow_manager.ports import Message
from workflow_manager.queues.job_manifest import JobTask, JobTemplate, Json


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description="Jobs created on a real API server")
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--in-flight", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    messages = [_message(number) for number in range(arguments.jobs)]
    with tempfile.TemporaryDirectory(prefix="kubernetes-jobs-") as name:
        folder = Path(name)
        with control_plane(folder) as plane:
            _by_adapter(plane, messages[:100], arguments.in_flight, folder)  # warms the server up
            ways: dict[str, Callable[[], None]] = {
                "workflow-manager": lambda: _by_adapter(plane, messages, arguments.in_flight, folder),
                "kubectl create -f": lambda: _by_kubectl(plane, messages, folder),
                "prepared requests": lambda: _by_bytes(plane, messages, arguments.in_flight, folder),
            }
            rounds = [
                {about: _measured(about, create) for about, create in ways.items()}
                for _ in range(arguments.rounds)
            ]
    print("| created by | Jobs | wall s | Jobs/s | CPU s of the client |")
    print("| --- | --- | --- | --- | --- |")
    for about in ways:
        wall, cpu = min(one[about] for one in rounds)
        print(f"| {about} | {len(messages)} | {wall:.1f} | {len(messages) / wall:.0f} | {cpu:.1f} |")


def _message(number: int) -> Message:
    body = task_body(
        trace_id="1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
        aggregation_id="kittens-seen",
        batch_id=f"b8a5579a-f984-460a-a42d-2813cbf5{number:04}",
        date="2026/11/23/04/20",
    )
    return Message(body, "kittens-seen", f"task-markers/intake-kittens-seen-2026-11-23-04-20-{number}")


def _measured(about: str, create: Callable[[], None]) -> tuple[float, float]:
    """The wall time, and the CPU time of the client."""
    who = resource.RUSAGE_CHILDREN if "kubectl" in about else resource.RUSAGE_SELF
    before, begin = resource.getrusage(who), time.monotonic()
    create()
    wall, after = time.monotonic() - begin, resource.getrusage(who)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _by_adapter(plane: ControlPlane, messages: Sequence[Message], in_flight: int, folder: Path) -> None:
    queue = jobs_queue(plane, plane.namespace(), folder)
    with ThreadPoolExecutor(in_flight) as pool:
        outcomes = [*pool.map(lambda message: queue.publish("intake", [message])[0], messages)]
    queue.close()
    if any(outcomes):
        sys.exit(f"not all were created: {next(filter(None, outcomes))}")


def _manifests(messages: Sequence[Message], folder: Path) -> list[Json]:
    path = folder / "template.yaml"
    path.write_text(TEMPLATE)
    template = JobTemplate.read(path, "default")
    return [template.job(JobTask.of("intake", message, {}, "")) for message in messages]


def _by_kubectl(plane: ControlPlane, messages: Sequence[Message], folder: Path) -> None:
    """The file is written before the clock of its CPU time, and takes a fraction of a second of the other."""
    path = folder / "jobs.json"
    items = _manifests(messages, folder)
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    config = plane.kubeconfig_for(plane.token, plane.namespace())
    subprocess.run(
        [kubectl(), f"--kubeconfig={config}", "create", "-f", str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _by_bytes(plane: ControlPlane, messages: Sequence[Message], in_flight: int, folder: Path) -> None:
    bodies = [json.dumps(job).encode() for job in _manifests(messages, folder)]
    path = f"/apis/batch/v1/namespaces/{plane.namespace()}/jobs"
    headers = {"authorization": f"Bearer {plane.token}", "content-type": "application/json"}
    trusted = ssl.create_default_context(cafile=str(plane.ca))

    def send(share: Sequence[bytes]) -> None:
        connection = http.client.HTTPSConnection(urlsplit(plane.url).netloc, context=trusted)
        for body in share:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.CREATED:
                sys.exit(f"the API server answered {answer.status}")
        connection.close()

    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(send, [bodies[number::in_flight] for number in range(in_flight)]))


if __name__ == "__main__":
    main()
