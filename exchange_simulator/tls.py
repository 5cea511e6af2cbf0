"""Certificates for clients that insist on wss and https. In: a folder, or the user's own files. Out: what a server
needs, and the file that clients are to trust. A made-up authority signs for this machine only and forgets its key."""

import ssl
from pathlib import Path
from typing import NamedTuple

NAMES = ("localhost", "127.0.0.1", "::1")


class TlsError(Exception):
    """There is no certificate to serve with; the message says why."""


class Certificate(NamedTuple):
    """`trust`: the file that a client checks the server's certificate against."""

    chain: Path
    key: Path
    trust: Path


def made_up_certificate(folder: Path, host: str = "localhost") -> Certificate:
    """Also for that host, a name or an address. The files are written into the folder."""
    try:
        import trustme  # noqa: PLC0415 - only --tls needs it
    except ImportError as error:
        raise TlsError("--tls needs trustme (pip install trustme), or give --certificate and --key.") from error
    authority = trustme.CA()
    server = authority.issue_cert(*dict.fromkeys([*NAMES, host]))
    certificate = Certificate(folder / "certificate.pem", folder / "key.pem", folder / "authority.pem")
    certificate.key.touch(mode=0o600)
    server.private_key_pem.write_to_path(str(certificate.key))
    for i, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(str(certificate.chain), append=i > 0)
    authority.cert_pem.write_to_path(str(certificate.trust))
    return certificate


def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate.chain, certificate.key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"no certificate and its key in {certificate.chain} and {certificate.key}: {error}") from error
    return context
