"""How fast the cloud stores list, and in how much memory, beside a plain reading of the same pages.

    python benchmarks/listing.py [pages]

A server in another process gives out pages of 1,000 names that it has made beforehand, over TLS, so
what is measured is the client: one thread, from the request to the list of names. The plain
readers use urllib and the standard library's parsers of XML and JSON. Each measurement has a
process of its own; the names in each are the same.
"""

import argparse
import json
import multiprocessing
import os
import resource
import socket
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from server import tls_context
from workflow_manager.ports import ObjectStore, Settings
from workflow_manager.storage.gcs import GcsStore
from workflow_manager.storage.s3 import S3Store

PAGE = 1000
PLACE = b"@@@@@"  # where the number of the page is put into it
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Measured(NamedTuple):
    """Names listed, seconds, seconds of CPU, and peak memory in MB."""

    names: int
    wall: float
    cpu: float
    peak: float


def name(number: int) -> str:
    """An object of a batch, on a page whose number is put in later."""
    part = ("", ".avro", ".sig")[number % 3]
    return f"com.example.notifications/2026/@@@@@/{number:04}-a0b1-c2d3-e4f5-0123456789ab.batch{part}"


def s3_page() -> bytes:
    """A page of S3, with all that Amazon says of each object."""
    entries = "".join(
        f"<Contents><Key>{name(number)}</Key><LastModified>2026-11-22T18:05:11.000Z</LastModified>"
        "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        "<ChecksumType>FULL_OBJECT</ChecksumType><Size>2048</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(PAGE)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix></Prefix>'
        f"<NextContinuationToken>@@@@@</NextContinuationToken><KeyCount>{PAGE}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{entries}</ListBucketResult>"
    ).encode()


def gcs_page() -> bytes:
    """A page of Cloud Storage, with the fields that were asked for."""
    return json.dumps({"nextPageToken": "@@@@@", "items": [{"name": name(n)} for n in range(PAGE)]}).encode()


def last_page(page: bytes) -> bytes:
    """The same without a token."""
    return page.replace(b"<IsTruncated>true", b"<IsTruncated>false").replace(
        b'"nextPageToken": "@@@@@", ', b""
    )


def serve(pages: int, certificate: str, port: "Connection") -> None:
    """Answer requests for pages: the token is the number of the page before."""
    context = tls_context(Path(certificate))
    bodies = {"s3": s3_page(), "gcs": gcs_page()}
    ends = {kind: last_page(body) for kind, body in bodies.items()}
    listener = socket.create_server(("127.0.0.1", 0))
    port.send(listener.getsockname()[1])

    def talk(accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(accepted, server_side=True)
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                while lines.readline() not in (b"\r\n", b""):
                    pass
                query = parse_qs(urlsplit(line.split()[1].decode()).query)
                token = (query.get("continuation-token") or query.get("pageToken") or ["-1"])[0]
                number = int(token) + 1
                kind = "s3" if "list-type" in query else "gcs"
                body = (bodies if number < pages - 1 else ends)[kind].replace(PLACE, b"%05d" % number)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def ours(store: ObjectStore) -> Iterator[int]:
    """The lengths of the pages that a store lists."""
    for page in store.list_keys(""):
        yield len(page)


def s3(url: str) -> Iterator[int]:
    """Our S3."""
    secrets = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    environ = {"AWS_ENDPOINT_URL_S3": url, "AWS_CA_BUNDLE": os.environ["SSL_CERT_FILE"], **secrets}
    return ours(S3Store.open("s3://us-east-1/bucket", Settings(environ=environ)))


def gcs(url: str) -> Iterator[int]:
    """Our Cloud Storage."""
    environ = {"STORAGE_EMULATOR_HOST": url, "REQUESTS_CA_BUNDLE": os.environ["SSL_CERT_FILE"]}
    return ours(GcsStore.open("gs://bucket", Settings(environ=environ)))


def plain_s3(url: str) -> Iterator[int]:
    """S3 read with xml.etree."""
    token = ""
    while True:
        with urllib.request.urlopen(f"{url}/bucket/?list-type=2&continuation-token={token or -1}") as answer:
            root = ET.fromstring(answer.read())
        yield len([entry.findtext(f"{NAMESPACE}Key") for entry in root.iter(f"{NAMESPACE}Contents")])
        if root.findtext(f"{NAMESPACE}IsTruncated") != "true":
            return
        token = root.findtext(f"{NAMESPACE}NextContinuationToken") or ""


def plain_gcs(url: str) -> Iterator[int]:
    """Cloud Storage read with json."""
    token = "-1"
    while token:
        with urllib.request.urlopen(f"{url}/storage/v1/b/bucket/o?pageToken={token}") as answer:
            listing = json.load(answer)
        yield len([item["name"] for item in listing["items"]])
        token = listing.get("nextPageToken", "")


READERS: dict[str, Callable[[str], Iterator[int]]] = {
    "s3": s3,
    "s3 (urllib, xml.etree)": plain_s3,
    "gcs": gcs,
    "gcs (urllib, json)": plain_gcs,
}


def measure(reader: str, url: str, outcome: "Connection") -> None:
    """List everything once with a reader, in this process; on one CPU, as a run does."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    wall, cpu = time.perf_counter(), time.process_time()
    names = sum(READERS[reader](url))
    outcome.send(Measured(names, time.perf_counter() - wall, time.process_time() - cpu, memory()))


def memory() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure all readers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", type=int, nargs="?", default=720, help="how many to list (%(default)s)")
    pages: int = parser.parse_args().pages
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    folder = TemporaryDirectory()
    os.environ["SSL_CERT_FILE"] = str(Path(folder.name, "certificate.pem"))  # for all readers
    server = context.Process(target=serve, args=(pages, os.environ["SSL_CERT_FILE"], there), daemon=True)
    server.start()
    url = f"https://127.0.0.1:{here.recv()}"
    print(f"{pages * PAGE:,} names in {pages} pages, one thread")
    print(f"{'':24}{'names/s':>12}{'names/CPU s':>14}{'ratio':>8}{'peak MB':>10}")
    found: dict[str, Measured] = {}
    for reader in READERS:
        child = context.Process(target=measure, args=(reader, url, there))
        child.start()
        found[reader] = here.recv()
        child.join()
        assert found[reader].names == pages * PAGE, f"{reader} has listed {found[reader].names} names"
    for reader, measured in found.items():
        naive = next(found[other] for other in found if other.startswith(reader.split()[0] + " "))
        print(
            f"{reader:24}{measured.names / measured.wall:12,.0f}{measured.names / measured.cpu:14,.0f}"
            f"{naive.wall / measured.wall:8.1f}{measured.peak:10.1f}"
        )
    server.terminate()
    folder.cleanup()


if __name__ == "__main__":
    main()
