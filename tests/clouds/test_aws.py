"""Where credentials of AWS come from."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from servers.faulty import Exchange, Faulty, Reply, answer, faulty, honest, s3_error
from workflow_manager.clouds import aws, refresh
from workflow_manager.clouds.aws import credentials
from workflow_manager.clouds.http import CloudError
from workflow_manager.clouds.signing import Keys
from workflow_manager.errors import ConfigError
from workflow_manager.ports import RetryPolicy, Settings

ROLE = "arn:aws:iam::123456789012:role/reader"
TIMEOUTS = RetryPolicy(read_timeout=20, tries=2, total_timeout=40)


class TestWhereCredentialsComeFrom:
    def test_the_environment(self) -> None:
        environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
        who, keys = credentials(Settings(environ=environ), "us-east-1")
        assert keys() == Keys("a", "b", "c")
        assert who == "the keys in AWS_ACCESS_KEY_ID"

    def test_a_profile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "credentials"
        file.write_text("[ours]\naws_access_key_id = a\naws_secret_access_key = b\n")
        environ = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "ours"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        who, keys = credentials(Settings(environ=environ), "us-east-1")
        assert keys() == Keys("a", "b", None)
        assert who == "the AWS profile 'ours'"

    def test_a_container_s_role(self, server: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
        server.always = answer(
            200,
            b'{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c",'
            b' "Expiration": "2999-01-01T00:00:00Z"}',
        )
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/role")
        _, keys = credentials(Settings(), "us-east-1")
        assert [keys(), keys()] == [Keys("a", "b", "c")] * 2
        assert len(server.seen) == 1

    def test_a_profile_that_does_not_exist_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "absent")
        _, keys = credentials(Settings(environ={"AWS_PROFILE": "absent"}), "us-east-1")
        with pytest.raises(CloudError, match="absent") as failed:
            keys()
        assert "AWS_PROFILE" in failed.value.advice

    def test_none_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        _, keys = credentials(Settings(), "us-east-1")
        with pytest.raises(CloudError, match="there are no AWS credentials") as failed:
            keys()
        assert "AWS_ACCESS_KEY_ID" in failed.value.advice

    def test_a_program_that_gives_credentials_with_a_bad_date(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}
        (tmp_path / "given").write_text(json.dumps({**given, "Expiration": ["soon"]}))
        (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'given'}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        _, keys = credentials(Settings(), "us-east-1")
        with pytest.raises(CloudError, match="cannot obtain AWS credentials"):
            keys()

    def test_an_identity_that_is_no_role(self) -> None:
        with pytest.raises(ConfigError, match="'reader' is not a role's ARN"):
            credentials(Settings(identity="reader"), "us-east-1")


@pytest.fixture
def metadata() -> Iterator[Faulty]:
    """A stand-in for GKE's metadata server, which gives out numbered tokens."""

    def identity(exchange: Exchange) -> None:
        path, _, query = exchange.seen.path.partition("?")
        asked = (path, parse_qs(query), exchange.seen.headers.get("metadata-flavor"))
        right = (
            "/computeMetadata/v1/instance/service-accounts/default/identity",
            {"audience": ["sts.amazonaws.com/gke-identity-federation"], "format": ["full"]},
            "Google",
        )
        status = 200 if asked == right else 403
        exchange.reply(Reply(status, f"token-{len(server.seen)}".encode()))

    with faulty() as server:
        server.always = identity
        yield server


@pytest.fixture
def sts(moto_url: str) -> Iterator[Faulty]:
    """moto's STS, with every request seen."""
    with faulty(moto_url) as server:
        yield server


def forms(sts: Faulty) -> list[dict[str, str]]:
    """What STS was asked for."""
    return [{key: value[0] for key, value in parse_qs(seen.body.decode()).items()} for seen in sts.seen]


class TestRolesOfWebIdentities:
    def settings(self, sts: Faulty, **environ: str) -> Settings:
        return Settings(
            identity=ROLE, environ={"AWS_ENDPOINT_URL_STS": sts.url, **environ}, retry_policy=TIMEOUTS
        )

    def on_gke(self, sts: Faulty, metadata: Faulty) -> Settings:
        return self.settings(sts, GCE_METADATA_HOST=metadata.url.removeprefix("http://"))

    def test_on_gke_the_token_is_the_metadata_server_s(self, sts: Faulty, metadata: Faulty) -> None:
        who, keys = credentials(self.on_gke(sts, metadata), "us-east-1")
        assert who == ROLE
        assert sts.seen == metadata.seen == []
        assert all(keys())
        (form,) = forms(sts)
        assert form["Action"] == "AssumeRoleWithWebIdentity"
        assert (form["RoleArn"], form["WebIdentityToken"]) == (ROLE, "token-1")
        assert "Authorization" not in sts.seen[0].headers

    def test_many_threads_make_one_request(self, sts: Faulty, metadata: Faulty) -> None:
        _, keys = credentials(self.on_gke(sts, metadata), "us-east-1")
        with ThreadPoolExecutor(16) as pool:
            found = set(pool.map(lambda _: keys(), range(64)))
        assert len(found) == len(sts.seen) == len(metadata.seen) == 1

    def test_they_are_renewed_in_mid_run_before_they_expire(
        self, sts: Faulty, metadata: Faulty, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        minutes = [0]
        monkeypatch.setattr(refresh, "time", lambda: time.time() + minutes[0] * 60)
        _, keys = credentials(self.on_gke(sts, metadata), "us-east-1")
        first = keys()
        minutes[0] = 49
        assert keys() == first
        minutes[0] = 51
        assert keys() != first
        assert [form["WebIdentityToken"] for form in forms(sts)] == ["token-1", "token-2"]

    def test_a_token_file_is_read_anew_each_time_and_goes_first(
        self, sts: Faulty, metadata: Faulty, tmp_path: Path
    ) -> None:
        file = tmp_path / "token"
        file.write_text("from-file\n")
        settings = self.settings(sts, AWS_WEB_IDENTITY_TOKEN_FILE=str(file), GCE_METADATA_HOST=metadata.url)
        assert all(credentials(settings, "us-east-1").keys())
        file.write_text("from-new-file\n")
        assert all(credentials(settings, "us-east-1").keys())
        assert [form["WebIdentityToken"] for form in forms(sts)] == ["from-file", "from-new-file"]
        assert metadata.seen == []

    def test_the_environment_s_own_role_needs_no_identity(self, sts: Faulty, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("from-file")
        environ = {
            "AWS_ENDPOINT_URL": sts.url,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ROLE_ARN": ROLE,
            "AWS_ROLE_SESSION_NAME": "pod-7",
        }
        who, keys = credentials(Settings(environ=environ), "us-east-1")
        assert who == ROLE
        assert all(keys())
        assert forms(sts)[0]["RoleSessionName"] == "pod-7"

    @pytest.mark.usefixtures("hasty")
    def test_an_sts_that_is_busy_is_asked_again(self, sts: Faulty, metadata: Faulty) -> None:
        sts.script.extend([s3_error(400, "IDPCommunicationError"), honest])
        assert all(credentials(self.on_gke(sts, metadata), "us-east-1").keys())
        assert len(sts.seen) == 2

    def test_a_role_that_does_not_trust_us_is_an_error_that_says_so(
        self, sts: Faulty, metadata: Faulty
    ) -> None:
        sts.always = s3_error(403, "AccessDenied")
        with pytest.raises(
            CloudError, match=f"the role {ROLE} cannot be assumed: .*403 AccessDenied"
        ) as failed:
            credentials(self.on_gke(sts, metadata), "us-east-1").keys()
        assert "trust policy" in failed.value.advice
        assert len(sts.seen) == 1

    def test_an_sts_whose_date_cannot_be_read_is_asked_again(self, sts: Faulty, metadata: Faulty) -> None:
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        document = "".join(f"<{name}>2026-13-99</{name}>" for name in names)
        sts.always = answer(200, document.encode())
        with pytest.raises(CloudError, match="has no valid expiration date: '2026-13-99'"):
            credentials(self.on_gke(sts, metadata), "us-east-1").keys()
        assert len(sts.seen) == TIMEOUTS.tries

    def test_a_metadata_server_without_identities_is_an_error_that_says_so(
        self, sts: Faulty, metadata: Faulty
    ) -> None:
        metadata.always = answer(404)
        with pytest.raises(CloudError, match="there is no web identity token: the metadata server") as failed:
            credentials(self.on_gke(sts, metadata), "us-east-1").keys()
        assert "AWS_WEB_IDENTITY_TOKEN_FILE" in failed.value.advice
        assert sts.seen == []

    def test_a_token_file_that_is_not_there_is_named(self, sts: Faulty) -> None:
        settings = self.settings(sts, AWS_WEB_IDENTITY_TOKEN_FILE="/no/such/token")
        with pytest.raises(CloudError, match="'/no/such/token' cannot be read"):
            credentials(settings, "us-east-1").keys()


@pytest.mark.parametrize(
    ("region", "domain"),
    [("eu-west-1", "eu-west-1.amazonaws.com"), ("cn-north-1", "cn-north-1.amazonaws.com.cn")],
)
def test_china_has_a_domain_of_its_own(region: str, domain: str) -> None:
    assert aws.domain(region) == domain


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a&amp;lt;b", "a&lt;b"),
        ("&lt;&gt;&quot;&apos;", "<>\"'"),
        ("&#13;&#xA;&#x1F4B6;", "\r\n💶"),
        ("&nbsp;&#x110000;&", "&nbsp;&#x110000;&"),
    ],
)
def test_entities_of_xml_and_no_others_are_characters(text: str, meaning: str) -> None:
    assert aws.unescape(text) == meaning
