"""What a service's TLS needs besides what the environment says for all services."""

from typing import Final, NamedTuple


class TlsSettings(NamedTuple):
    """A CA and a client certificate of a service's own: each the path of a PEM file, or its content as bytes.

    What is empty is not given. `source` says where these come from, for advice in errors. `ca_variables`
    are those of the environment that name a CA bundle each: the first that is set counts.
    """

    ca: str | bytes = ""
    certificate: str | bytes = ""
    key: str | bytes = ""
    verify: bool = True
    source: str = ""
    ca_variables: tuple[str, ...] = ()


AS_THE_ENVIRONMENT_SAYS: Final = TlsSettings()
