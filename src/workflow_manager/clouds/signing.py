"""Signature Version 4 of requests to Amazon's services.

A marker costs one signed request, and botocore's signer, which is made for any request that
there may be, takes ten times as long for it as this one. libcurl's cannot be used: it takes `..` in
a path for a step upwards, so that `a/../b` would name another object. The tests hold this one to botocore's.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from workflow_manager.clouds.http import Request
from workflow_manager.hashes import hmac_sha256, keyed, sha256

_ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(NamedTuple):
    """What a request is signed with."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Signs requests to a service of a region, at a host and under a path there, such as a gateway's.

    S3 has paths signed as they are. All others have them quoted once more.
    """

    def __init__(
        self, keys: Callable[[], Keys], service: str, region: str, host: str, prefix: str = ""
    ) -> None:
        self._keys = keys
        self._scope = f"{region}/{service}/aws4_request"
        self._parts = (region, service, "aws4_request")
        self._service = service
        self._host = host
        self._prefix = prefix
        # What the last signature was made with: a moment in seconds and as text, and a key, which is another
        # each day and with other credentials.
        self._moment = (0, "")
        self._derived: tuple[str, str, Callable[[bytes], bytes]] = ("", "", bytes)

    def __call__(self, request: Request) -> Mapping[str, str]:
        """The headers of a request, now with a signature; raises CloudError if there are no credentials."""
        now = int(time.time())
        second, moment = self._moment
        if now != second:  # to format it takes as long as a third of all else
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            self._moment = (now, moment)
        return self.signed(request, moment)

    def signed(self, request: Request, moment: str) -> Mapping[str, str]:
        """The headers, signed at a moment (UTC), such as `20261123T181500Z`."""
        keys = self._keys()
        digest = sha256(request.body).hexdigest()
        headers = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
        headers |= {"host": self._host, "x-amz-date": moment}
        if self._service == "s3":
            headers["x-amz-content-sha256"] = digest
        if keys.token:
            headers["x-amz-security-token"] = keys.token
        names = sorted(headers)
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        path, _, query = request.target.partition("?")
        path = self._prefix + path
        if self._service != "s3" and path != "/":
            path = quote(path, safe="/~")
        listed = ";".join(names)
        canonical = f"{request.method}\n{path}\n{_sorted(query)}\n{lines}\n{listed}\n{digest}"
        scope = f"{moment[:8]}/{self._scope}"
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = self._signs(keys.secret_key, moment[:8])(text.encode()).hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}"
        )
        return headers

    def _signs(self, secret: str, date: str) -> Callable[[bytes], bytes]:
        """What signs on a day, with a key that takes four hashes to find."""
        last = self._derived
        if last[:2] == (secret, date):
            return last[2]
        key = f"AWS4{secret}".encode()
        for part in (date, *self._parts):
            key = hmac_sha256(key, part.encode())
        signs = keyed(key)
        self._derived = (secret, date, signs)
        return signs


def _sorted(query: str) -> str:
    """A query in its canonical form: by name and value, each name with a `=`."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return "&".join([f"{name}={value}" for name, _, value in sorted(pairs)])
