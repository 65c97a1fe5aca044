"""Signatures of requests: those of Amazon's examples, and for any other request those of botocore."""

from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from workflow_manager.clouds.http import Request
from workflow_manager.clouds.signing import Keys, Signer

HOST = "examplebucket.s3.amazonaws.com"
MOMENT = "20130524T000000Z"
EXAMPLE = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)

# What a header may hold is up to the callers: text of a line.
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
PIECES = st.text(max_size=12).map(lambda text: quote(text, safe=""))
HEADERS = st.dictionaries(st.sampled_from(["content-type", "if-none-match", "x-amz-meta-write-id"]), VALUES)
REQUESTS = st.builds(
    lambda method, path, query, body, headers: Request(
        method, "/" + "/".join(path) + "?" * bool(query) + "&".join(query), body, headers
    ),
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "POST"]),
    st.lists(PIECES, max_size=4),
    st.lists(
        st.tuples(PIECES.filter(bool), PIECES).map("=".join), max_size=4, unique_by=lambda p: p.split("=")[0]
    ),
    st.binary(max_size=40),
    HEADERS,
)
KEYS = st.builds(
    Keys,
    st.from_regex("[A-Z0-9]{16,20}", fullmatch=True),
    st.from_regex("[A-Za-z0-9/+]{40}", fullmatch=True),
    st.none() | st.from_regex("[A-Za-z0-9/+=]{1,60}", fullmatch=True),
)


PREFIXES = st.sampled_from(["", "/gateway", "/a%20b/c~d", "/x:y"])


def signer(keys: Keys, service: str = "s3", host: str = HOST, prefix: str = "") -> Signer:
    return Signer(lambda: keys, service, "us-east-1", host, prefix)


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Request("GET", "/test.txt", headers={"range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (Request("GET", "/?lifecycle"), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            Request("GET", "/?max-keys=2&prefix=J"),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (
            Request(
                "PUT",
                "/test%24file.text",
                b"Welcome to Amazon S3.",
                {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
    ids=["get", "lifecycle", "list", "put"],
)
def test_amazons_own_examples(request_: Request, signature: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html."""
    assert signer(EXAMPLE).signed(request_, MOMENT)["authorization"].endswith(f"Signature={signature}")


@given(keys=KEYS, request_=REQUESTS, service=st.sampled_from(["s3", "sns", "sqs", "sts"]), prefix=PREFIXES)
def test_any_request_is_signed_as_botocore_signs_it(
    keys: Keys, request_: Request, service: str, prefix: str
) -> None:
    if service != "s3":
        # All others are asked at their root: only S3 signs any path as it is.
        request_ = request_._replace(target=f"/?{request_.target.partition('?')[2]}")
    headers = signer(keys, service, prefix=prefix).signed(request_, MOMENT)
    url = f"https://{HOST}{prefix}{request_.target}"
    theirs = AWSRequest(request_.method, url, headers=dict(headers), data=request_.body)
    del theirs.headers["authorization"]
    theirs.context["timestamp"] = MOMENT
    auth = (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, "us-east-1")
    text = auth.string_to_sign(theirs, auth.canonical_request(theirs))
    assert headers["authorization"].endswith(f"Signature={auth.signature(text, theirs)}")


def test_a_session_token_goes_with_the_request_and_is_signed() -> None:
    headers = signer(Keys("a", "b", "token"))(Request("GET", "/"))
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in headers["authorization"]


def test_other_keys_and_another_day_are_heeded_at_once() -> None:
    current = [Keys("a", "b", None)]
    signing = Signer(lambda: current[0], "s3", "us-east-1", HOST)
    moments = [MOMENT, "20130525T000000Z"]
    for keys in (Keys("a", "b", None), Keys("a", "c", None)):
        current[0] = keys
        for moment in moments:
            request = Request("GET", "/")
            assert signing.signed(request, moment) == signer(keys).signed(request, moment)
