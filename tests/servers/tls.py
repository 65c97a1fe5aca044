"""A certificate authority of the tests' own, and a server that speaks TLS and remembers what it is told."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SECONDS = 20.0  # for a client to make its part of a handshake
_PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates. Its own is in the file `bundle`."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.bundle = directory / f"{name}.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(name, self._key)
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle.write_bytes(certificate.public_bytes(_PEM))

    def certificate(self, host: str) -> Path:
        """A file with a certificate for a host, given by its name or address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        signed = (
            self._builder(host, key)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self._directory / f"{self._name}-{host}.pem"
        path.write_bytes(signed.public_bytes(_PEM) + secret)
        return path

    def _builder(self, subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(_name(self._name), _name(subject), key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )


class TlsListener:
    """Takes connections, and keeps in `received` what came over each whose handshake was completed."""

    def __init__(self, certificate: Path, greeting: bytes) -> None:
        self.received: list[bytes] = []
        self.refusals: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(_SECONDS)
                self._meet(connection)

    def _meet(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._greeting)  # before TLS, as protocols have it that turn it on later
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    if data := encrypted.recv(65536):
                        self.received.append(data)
            except OSError as error:  # ssl.SSLError is one
                self.refusals.append(str(error))


@contextmanager
def tls_listener(certificate: Path, greeting: bytes = b"") -> Iterator[TlsListener]:
    """A listener that runs until the end of the block."""
    listener = TlsListener(certificate, greeting)
    try:
        yield listener
    finally:
        listener.close()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
