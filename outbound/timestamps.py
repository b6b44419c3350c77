"""RFC 3161: an authority says by when a text existed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from outbound.guarded_client import Failed, GuardedClient

ASKED: Final = "application/timestamp-query"
ANSWERED: Final = "application/timestamp-reply"


class NotStamped(Exception):
    """The authority gave no time stamp, or none that its certificates vouch for."""


async def stamped(
    client: GuardedClient, url: str, roots: Sequence[x509.Certificate], text: bytes
) -> bytes:
    """The authority's answer over the text (DER), checked: its signature, that it leads to one of
    the roots, its nonce and what it is about. Raises `NotStamped`, or what the client raises."""
    request = (
        TimestampRequestBuilder()
        .data(text)
        .hash_algorithm(HashAlgorithm.SHA256)
        .cert_request(cert_request=True)
        .nonce(nonce=True)
        .build()
    )
    answer = await client.request(
        "POST",
        url,
        headers={"Content-Type": ASKED, "Accept": ANSWERED},
        content=request.as_bytes(),
    )
    if answer.status != 200:
        raise Failed(f"the authority answered {answer.status}")
    verifier = VerifierBuilder.from_request(request)
    for root in roots:
        verifier = verifier.add_root_certificate(root)
    try:
        given = decode_timestamp_response(answer.body)
        await asyncio.to_thread(verifier.build().verify_message, given, text)
    except (VerificationError, ValueError) as error:
        raise NotStamped(str(error)) from error
    return answer.body


def read_roots(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file; raises `NotStamped` when it cannot be read."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise NotStamped(f"RENSEI_TIMESTAMP_ROOTS cannot be read: {error}") from error
