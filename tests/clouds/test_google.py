"""Where Google's credentials come from, and that they are asked for once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.faulty import Exchange, Faulty, Reply, answer
from workflow_manager.clouds import refresh
from workflow_manager.clouds.google import Tokens, explain, open_service
from workflow_manager.clouds.http import CloudError, ErrorDocument, Request
from workflow_manager.ports import Settings

SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
GET = Request("GET", "/")
EMAIL = "manager@project.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(Settings(), SCOPES)


@pytest.fixture
def token_service(server: Faulty) -> Faulty:
    """Gives out numbered tokens, as Google's does."""
    server.always = lambda exchange: exchange.reply(token(len(server.seen)))
    return server


def token(number: int) -> Reply:
    content = {"access_token": f"token-{number}", "expires_in": 3600, "token_type": "Bearer"}
    return Reply(200, json.dumps(content).encode(), (("content-type", "application/json"),))


@pytest.fixture
def metadata(server: Faulty, monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """A stand-in for the metadata server of a workload with a service account."""
    asked = iter(range(1, 100))

    def meet(exchange: Exchange) -> None:
        path = exchange.seen.path.partition("?")[0]
        flavor = (("metadata-flavor", "Google"), ("content-type", "application/json"))
        if path.endswith("/token"):
            exchange.reply(token(next(asked)))
        elif path.endswith(("/default/", f"/{EMAIL}/")):
            exchange.reply(Reply(200, json.dumps({"email": EMAIL, "scopes": SCOPES}).encode(), flavor))
        else:
            exchange.reply(
                Reply(200, b"project", (("metadata-flavor", "Google"), ("content-type", "text/plain")))
            )

    server.always = meet
    host = server.url.removeprefix("http://")
    monkeypatch.setenv("GCE_METADATA_IP", host)
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", False)
    monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", host)
    return server


def token_requests(metadata: Faulty) -> list[str]:
    return [seen.path for seen in metadata.seen if "/token" in seen.path]


def use_file(path: Path, monkeypatch: pytest.MonkeyPatch, **content: object) -> None:
    path.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


def test_a_service_account_s_key(
    tokens: Tokens, token_service: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    use_file(
        tmp_path / "key.json",
        monkeypatch,
        type="service_account",
        client_email=EMAIL,
        private_key=secret.decode(),
        token_uri=f"{token_service.url}/token",
    )
    assert tokens(GET)["authorization"] == "Bearer token-1"
    assert tokens.who() == EMAIL


def test_a_workload_identity_federation(
    tokens: Tokens, token_service: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subject").write_text("from the other cloud")
    use_file(
        tmp_path / "federation.json",
        monkeypatch,
        type="external_account",
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{token_service.url}/v1/token",
        credential_source={"file": str(tmp_path / "subject")},
    )
    assert tokens(GET)["authorization"] == "Bearer token-1"
    (seen,) = token_service.seen
    form = parse_qs(seen.body.decode())
    assert (form["subject_token"], form["scope"]) == (["from the other cloud"], list(SCOPES))


def test_the_metadata_server(tokens: Tokens, metadata: Faulty) -> None:
    assert tokens.who() == "Google's application default credentials"
    assert metadata.seen == []
    assert tokens(GET)["authorization"] == "Bearer token-1"
    assert tokens.who() == EMAIL


def test_many_threads_ask_once(tokens: Tokens, metadata: Faulty) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: tokens(GET)["authorization"], range(64)))
    assert set(found) == {"Bearer token-1"}
    assert len(token_requests(metadata)) == 1


def test_a_token_is_renewed_in_mid_run_before_it_expires(
    tokens: Tokens, metadata: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = [0]
    monkeypatch.setattr(refresh, "time", lambda: time.time() + minutes[0] * 60)
    found = []
    for minutes[0] in (0, 55, 57):
        found.append(tokens(GET)["authorization"])
    assert found == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_none_at_all(tokens: Tokens) -> None:
    with pytest.raises(CloudError, match="cannot obtain Google's credentials: Your default cred") as failed:
        tokens(GET)
    assert "gcloud auth application-default login" in failed.value.advice


@pytest.mark.parametrize("expiry", ["tomorrow", 7, ["2026"], {}])
def test_a_file_with_a_bad_date(
    expiry: object, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"client_id": "a", "client_secret": "b", "refresh_token": "c", "expiry": expiry}
    use_file(tmp_path / "user.json", monkeypatch, type="authorized_user", **content)
    with pytest.raises(CloudError, match="cannot obtain Google's credentials"):
        tokens(GET)


def test_credentials_that_were_taken_away(
    tokens: Tokens, server: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = answer(400, b'{"error": "invalid_grant", "error_description": "revoked"}')
    (tmp_path / "subject").write_text("subject")
    use_file(
        tmp_path / "federation.json",
        monkeypatch,
        type="external_account",
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{server.url}/v1/token",
        credential_source={"file": str(tmp_path / "subject")},
    )
    with pytest.raises(CloudError, match="invalid_grant"):
        tokens(GET)


@pytest.mark.parametrize("with_scheme", [True, False])
def test_an_emulator_is_used_without_credentials(server: Faulty, *, with_scheme: bool) -> None:
    server.always = answer(200, b"answer")
    emulator = server.url if with_scheme else server.url.removeprefix("http://")
    service, who = open_service(Settings(), SCOPES, "https://storage.googleapis.com", emulator)
    assert service.send(GET, frozenset({200})).body == b"answer"
    service.close()
    assert "authorization" not in {name.lower() for name in server.seen[0].headers}
    assert who().startswith("nobody")


@pytest.mark.parametrize(
    ("document", "meaning"),
    [
        (
            b'{"error": {"code": 403, "message": "m", "errors": [{"reason": "forbidden"}]}}',
            ErrorDocument("forbidden", "m"),
        ),
        (
            b'{"error": {"code": 404, "message": "m", "status": "NOT_FOUND"}}',
            ErrorDocument("NOT_FOUND", "m"),
        ),
        (b"<html>\n gateway </html>", ErrorDocument("", "<html> gateway </html>")),
        (b'{"error": "invalid"}', ErrorDocument("", '{"error": "invalid"}')),
        (b"[]", ErrorDocument("", "[]")),
        (b"", ErrorDocument("", "")),
    ],
)
def test_what_error_documents_say(document: bytes, meaning: ErrorDocument) -> None:
    assert explain(document) == meaning
