"""How programs in a box come to trust the authority: files in place of the system's, variables."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from codebot.network.client import SYSTEM_BUNDLES, system_bundle

BUNDLE, *OTHER_BUNDLES = SYSTEM_BUNDLES
OURS = "/run/registries.pem"
JAVA = "/etc/ssl/certs/java/cacerts"
JAVA_HOMES = ("/usr/lib/jvm/*/lib/security/cacerts", "/usr/lib/jvm/*/jre/lib/security/cacerts")

_BY_BUNDLE = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO"),
    *("GIT_SSL_CAINFO", "HEX_CACERTS_PATH", "NIX_SSL_CERT_FILE", "BUNDLE_SSL_CA_CERT"),
)
"""Variables of programs that bring a bundle of their own, or may have been told of another one."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\s*", re.DOTALL)


def trust_variables() -> dict[str, str]:
    """Give the variables by which programs find what they may trust."""
    return {**dict.fromkeys(_BY_BUNDLE, BUNDLE), "NODE_EXTRA_CA_CERTS": OURS}


def trust_files(authority: bytes, company: Path | None) -> Mapping[str, bytes]:
    """Give what stands in a box where programs look for whom to trust; raises `OSError`.

    That is what this machine trusts, the `company`'s own certificates, and the authority (PEM).
    """
    extra = (company.read_bytes() if company else b"") + b"\n" + authority
    found = system_bundle()
    bundle = (found.read_bytes() if found else b"").rstrip() + b"\n" + extra
    places = {BUNDLE, *(path for path in OTHER_BUNDLES if Path(path).exists())}
    stores = {str(store.resolve()) for home in JAVA_HOMES for store in Path("/").glob(home[1:])}
    stores |= {JAVA} if Path(JAVA).exists() else set()
    files = dict.fromkeys(places, bundle)
    if stores:
        files |= dict.fromkeys(stores, java_store(bundle))
    return files | {OURS: extra}


def java_store(bundle: bytes) -> bytes:
    """Give the certificates of a bundle as Java keeps them, without a password."""
    trusted = []
    for number, text in enumerate(dict.fromkeys(_CERTIFICATE.findall(bundle))):
        try:
            with warnings.catch_warnings(action="ignore"):  # some are older than today's rules
                certificate = x509.load_pem_x509_certificate(text)
        except ValueError:
            continue
        trusted.append(pkcs12.PKCS12Certificate(certificate, f"codebot-{number}".encode()))
    return pkcs12.serialize_java_truststore(trusted, NoEncryption())
