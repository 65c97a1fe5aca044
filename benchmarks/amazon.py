"""S3 (path-style) and SNS, as much of them as a run needs. Signatures are not checked.

S3: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and the pages of
GetObject, PutObject and DeleteObject. SNS: the query protocol's Publish and PublishBatch.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from bucket import Bucket, Range
from web import Request, State, Unknown, answer, content, unquoted

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_S3 = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_SNS = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
_ETAG = '"9bb58f26192e4ba00f01e2e7b136bbd8"'
_PLAIN = re.compile(r"[A-Za-z0-9/_.*-]+")
# What S3 says of each object; a client has to read past it.
_ABOUT = (
    "<LastModified>2026-11-22T18:29:30.000Z</LastModified>"
    "<ETag>&quot;9bb58f26192e4ba00f01e2e7b136bbd8&quot;</ETag><Size>16</Size><StorageClass>STANDARD</StorageClass>"
)
_REQUEST_IDS = count()


def s3(state: State, request: Request) -> bytes:
    """The answer to a request to S3."""
    name, _, key = unquoted(request.path.removeprefix("/")).partition("/")
    bucket = state.buckets.get(name)
    if bucket is None:
        return _error(404, "NoSuchBucket", f"there is no bucket {name}")
    if request.method == "GET" and not key:
        return _list(state, bucket, name, request)
    state.counts[request.method.lower()] += 1
    if request.method in ("GET", "HEAD"):
        return _read(bucket, key, request)
    if request.method == "PUT":
        if bucket.put(key, request.body, only_if_absent=request.has_header(b"if-none-match: *")):
            return answer(200, headers=f"etag: {_ETAG}\r\n")
        return _error(412, "PreconditionFailed", "the object exists")
    if request.method == "DELETE":
        bucket.delete(key)
        return answer(204)
    raise Unknown


def sns(state: State, request: Request) -> bytes:
    """The answer to a request to SNS."""
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    action = form.get("Action", "")
    state.counts["publish"] += 1
    if action == "Publish":
        state.messages += 1
        return _sns_answer(action, f"<MessageId>{_message_id(state)}</MessageId>")
    if action != "PublishBatch":
        return _error(400, "InvalidAction", f"{action} is not served here")
    members = []
    for number in range(1, 12):
        identifier = form.get(f"PublishBatchRequestEntries.member.{number}.Id")
        if identifier is None:
            break
        state.messages += 1
        members.append(
            f"<member><Id>{escape(identifier)}</Id><MessageId>{_message_id(state)}</MessageId></member>"
        )
    if not 1 <= len(members) <= 10:
        return _error(400, "BatchRequestTooLong", "a batch has 1 to 10 messages")
    return _sns_answer(action, f"<Failed/><Successful>{''.join(members)}</Successful>")


def _list(state: State, bucket: Bucket, name: str, request: Request) -> bytes:
    query = request.query
    kind = "list directories" if query.get("delimiter") else "list"
    state.counts[kind] += 1
    rendered = bucket.rendered.get(request.target)
    if rendered is None:
        rendered = bucket.rendered[request.target] = _rendered(bucket, name, query)
    return rendered


def _rendered(bucket: Bucket, name: str, query: dict[str, str]) -> bytes:
    token, after = query.get("continuation-token", ""), query.get("start-after", "")
    wanted = Range(
        query.get("prefix", ""),
        urlsafe_b64decode(token).decode() if token else after and after + "\0",
        "",
        query.get("delimiter", ""),
        min(int(query.get("max-keys", "1000")), 1000),
    )
    page = bucket.page(wanted)
    quoted = query.get("encoding-type") == "url"
    parts = [
        f"{_DECLARATION}<ListBucketResult {_S3}><Name>{name}</Name>",
        f"<Prefix>{_name(wanted.prefix, quoted=quoted)}</Prefix><MaxKeys>{wanted.limit}</MaxKeys>",
        f"<KeyCount>{len(page.keys) + len(page.prefixes)}</KeyCount>",
        f"<IsTruncated>{'true' if page.rest else 'false'}</IsTruncated>",
    ]
    if quoted:
        parts.append("<EncodingType>url</EncodingType>")
    if page.rest:
        token = urlsafe_b64encode(page.rest.encode()).decode()
        parts.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
    parts += [f"<Contents><Key>{_name(key, quoted=quoted)}</Key>{_ABOUT}</Contents>" for key in page.keys]
    parts += [
        f"<CommonPrefixes><Prefix>{_name(prefix, quoted=quoted)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    ]
    return answer(200, "".join([*parts, "</ListBucketResult>"]).encode())


def _name(key: str, *, quoted: bool) -> str:
    if _PLAIN.fullmatch(key):
        return key
    return quote(key, safe="/*") if quoted else escape(key)


def _read(bucket: Bucket, key: str, request: Request) -> bytes:
    body = bucket.get(key)
    if body is None:
        return (
            answer(404) if request.method == "HEAD" else _error(404, "NoSuchKey", "there is no such object")
        )
    headers = f"etag: {_ETAG}\r\n"
    if request.method == "HEAD":
        return answer(200, body, "application/octet-stream", headers)[: -len(body) or None]
    return content(request, body, headers)


def _error(status: int, code: str, message: str) -> bytes:
    text = f"{_DECLARATION}<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return answer(status, text.encode())


def _message_id(state: State) -> str:
    return f"00000000-0000-4000-8000-{state.messages:012}"


def _sns_answer(action: str, result: str) -> bytes:
    metadata = f"<ResponseMetadata><RequestId>{next(_REQUEST_IDS)}</RequestId></ResponseMetadata>"
    text = f"<{action}Response {_SNS}><{action}Result>{result}</{action}Result>{metadata}</{action}Response>"
    return answer(200, text.encode(), "text/xml")
