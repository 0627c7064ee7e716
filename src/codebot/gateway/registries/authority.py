"""The authority that boxes trust: it vouches for the hosts of registries, and for nobody else."""

import fcntl
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from codebot.sandbox.locks import let_go

NAME = "Codebot: registries of this service"
"""Who issued what boxes see. Nothing that leaves a box should have a reason to name it."""

LIFE = timedelta(days=3650)
RENEWED = timedelta(days=1825)
"""Before its end by this much, the next start of the service makes another. No box outlives the
service, so that none has to trust two."""

LEAF_LIFE = timedelta(days=30)
LEAF_RENEWED = timedelta(days=15)
SKEW = timedelta(days=1)
"""How far clocks may differ."""


class Authority:
    """Vouches for hosts. Its key is a file that the service alone can read, in no box's reach."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        now: Callable[[], datetime],
    ) -> None:
        self._key = key
        self._certificate = certificate
        self._now = now
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[str, tuple[datetime, ssl.SSLContext]] = {}

    @property
    def pem(self) -> bytes:
        """What to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, host: str) -> ssl.SSLContext:
        """Give what answers TLS for a host; whoever calls has made sure that it is a registry's.

        A client that names another host, or none, is refused.
        """
        made, context = self._contexts.get(host, (None, None))
        if context is None or made is None or self._now() - made > LEAF_RENEWED:
            context = _server_context()
            context.sni_callback = _only_for(host)
            with _file_in_memory(self._leaf(host)) as chain:
                context.load_cert_chain(chain)
            self._contexts[host] = (self._now(), context)
        return context

    def _leaf(self, host: str) -> bytes:
        """Give a certificate for this one host, with its key."""
        now = self._now()
        leaf = (
            _certificate(_name(host), self._certificate.subject, self._leaf_key, now, LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return _key_bytes(self._leaf_key) + leaf.public_bytes(serialization.Encoding.PEM)


def open_authority(file: Path, now: Callable[[], datetime]) -> Authority:
    """Give the authority that is kept in a file, or make one; raises `OSError`.

    Of two services that begin at once, one makes it: both use that.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(file.parent):
        kept = _read(file)
        if kept is None or now() > kept[1].not_valid_after_utc - RENEWED:
            kept = _make(now())
            _write(file, _key_bytes(kept[0]) + kept[1].public_bytes(serialization.Encoding.PEM))
    return Authority(*kept, now)


def authority_pieces(file: Path) -> Sequence[bytes]:
    """Give pieces by which the certificate is known in any file, as text or as bytes.

    Nothing where there is none yet: then no box has seen it.
    """
    kept = _read(file)
    if kept is None:
        return ()
    lines = kept[1].public_bytes(serialization.Encoding.PEM).splitlines()[1:-1]
    point = (
        kept[0]
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return (*(line for line in lines if len(line) == len(lines[0])), point)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        let_go(descriptor)


def _write(file: Path, content: bytes) -> None:
    """Put a file in its place, whole and for its owner alone."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
        writing.write(content)
        writing.flush()
        os.fsync(writing.fileno())
    draft.replace(file)


def _read(file: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    """Give what a file holds; None when there is none, or what is in it is no authority."""
    try:
        text = file.read_bytes()
        key = serialization.load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT") :])
    except (FileNotFoundError, ValueError):
        return None
    return (key, certificate) if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _make(now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(NAME)
    certificate = (
        _certificate(name, name, key, now, LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _usage(**allowed: bool) -> x509.KeyUsage:
    kinds = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**(dict.fromkeys(kinds, False) | allowed))


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def _only_for(host: str) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
    def check(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        is_meant = name is not None and name.lower().rstrip(".") == host
        return None if is_meant else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    return check


@contextmanager
def _file_in_memory(content: bytes) -> Iterator[str]:
    """Give a path at which Python's TLS reads a key that never was on a disk."""
    descriptor = os.memfd_create("codebot-leaf", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
