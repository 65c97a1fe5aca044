"""Cloud Storage (JSON API) and Pub/Sub (REST), as much of them as a run needs. Tokens are not checked.

https://cloud.google.com/storage/docs/json_api/v1/objects and
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from bucket import Bucket, Range
from web import Request, State, Unknown, answer, content, unquoted

STORAGE = "/storage/v1/b/"
UPLOAD = "/upload/storage/v1/b/"
DOWNLOAD = "/download/storage/v1/b/"
PUBSUB = "/v1/projects/"
_FIELDS = re.compile(r"items\(([^)]*)\)")
_MOST_MESSAGES = 1000


def storage(state: State, request: Request) -> bytes:
    """The answer to a request to Cloud Storage."""
    name, _, rest = request.path.partition("/b/")[2].partition("/")
    bucket = state.buckets.get(unquoted(name))
    if bucket is None:
        return _error(404, "The specified bucket does not exist.")
    key = unquoted(rest.removeprefix("o").removeprefix("/"))
    if request.path.startswith(UPLOAD) and request.method == "POST":
        state.counts["put"] += 1
        return _write(bucket, name, request)
    if not key and request.method == "GET":
        return _list(state, bucket, name, request)
    state.counts[request.method.lower()] += 1
    if request.method == "GET":
        return _read(bucket, name, key, request)
    if request.method == "DELETE":
        return answer(204) if bucket.delete(key) else _missing(key)
    raise Unknown


def pubsub(state: State, request: Request) -> bytes:
    """The answer to a request to Pub/Sub."""
    if request.method != "POST" or not request.path.endswith((":publish", "%3Apublish")):
        raise Unknown
    state.counts["publish"] += 1
    messages = json.loads(request.body)["messages"]
    if not 1 <= len(messages) <= _MOST_MESSAGES:
        return _error(400, f"a request has 1 to {_MOST_MESSAGES} messages")
    first = state.messages + 1
    state.messages += len(messages)
    return _json({"messageIds": [str(number) for number in range(first, state.messages + 1)]})


def _list(state: State, bucket: Bucket, name: str, request: Request) -> bytes:
    query = request.query
    state.counts["list directories" if query.get("delimiter") else "list"] += 1
    rendered = bucket.rendered.get(request.target)
    if rendered is None:
        rendered = bucket.rendered[request.target] = _rendered(bucket, name, query)
    return rendered


def _rendered(bucket: Bucket, name: str, query: dict[str, str]) -> bytes:
    token = query.get("pageToken", "")
    page = bucket.page(
        Range(
            query.get("prefix", ""),
            urlsafe_b64decode(token).decode() if token else query.get("startOffset", ""),
            query.get("endOffset", ""),
            query.get("delimiter", ""),
            min(int(query.get("maxResults", "1000")), 1000),
        )
    )
    chosen = _FIELDS.search(query.get("fields", ""))
    listing: dict[str, object] = {} if chosen else {"kind": "storage#objects"}
    if page.keys and chosen and chosen[1] == "name":
        listing["items"] = [{"name": key} for key in page.keys]
    elif page.keys:
        listing["items"] = [_about(name, key) for key in page.keys]
    if page.prefixes:
        listing["prefixes"] = page.prefixes
    if page.rest:
        listing["nextPageToken"] = urlsafe_b64encode(page.rest.encode()).decode()
    return _json(listing)


def _write(bucket: Bucket, name: str, request: Request) -> bytes:
    query = request.query
    if query.get("uploadType") == "multipart":
        # multipart/related: the object's description in JSON, then its content, between boundary lines
        boundary = request.body.partition(b"\r\n")[0]
        _, description, content = request.body.split(boundary)[:3]
        key = json.loads(description.partition(b"\r\n\r\n")[2])["name"]
        body = content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
    else:
        key, body = query["name"], request.body
    if not bucket.put(key, body, only_if_absent=query.get("ifGenerationMatch") == "0"):
        return _error(412, "At least one of the pre-conditions you specified did not hold.")
    return _json(_about(name, key))


def _read(bucket: Bucket, name: str, key: str, request: Request) -> bytes:
    body = bucket.get(key)
    if body is None:
        return _missing(key)
    if request.query.get("alt") == "media" or request.path.startswith(DOWNLOAD):
        return content(request, body)
    return _json(_about(name, key))


def _about(bucket: str, key: str) -> dict[str, object]:
    link = f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/{key}"
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{key}/1795371570000000",
        "selfLink": link,
        "mediaLink": f"{link}?generation=1795371570000000&alt=media",
        "name": key,
        "bucket": bucket,
        "generation": "1795371570000000",
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": "16",
        "md5Hash": "m7WPJhkuS6APAeLnsTa72A==",
        "crc32c": "AAAAAA==",
        "etag": "CAE=",
        "timeCreated": "2026-11-22T18:29:30.000Z",
        "updated": "2026-11-22T18:29:30.000Z",
    }


def _missing(key: str) -> bytes:
    return _error(404, f"No such object: {key}")


def _error(status: int, message: str) -> bytes:
    return _json({"error": {"code": status, "message": message}}, status)


def _json(value: object, status: int = 200) -> bytes:
    return answer(
        status, json.dumps(value, separators=(",", ":")).encode(), "application/json; charset=UTF-8"
    )
