"""Checkpoints as signed notes, with the vectors that other implementations publish."""

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.checkpoints import (
    Checkpoint,
    MalformedCheckpoint,
    note_key_id,
    origin,
    parse,
    parse_many,
    sign,
    signers,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEYS = {"key_demo_1": KEY.public_key(), "key_demo_2": OTHER.public_key()}
ROOT = bytes(range(32))
POINT = Checkpoint(origin("rensei.example", "org_demo"), 7, ROOT)
SIGNED = sign(POINT, KEY)


def test_a_checkpoint_is_written_as_the_format_says():
    head, below = SIGNED.text().split("\n\n")

    assert head == f"rensei.example/audit/org_demo\n7\n{base64.b64encode(ROOT).decode()}"
    assert below.startswith("— rensei.example/audit/org_demo ")
    assert below.endswith("\n")


def test_what_is_written_is_read_back_and_verifies():
    read = parse(SIGNED.text())

    assert read == SIGNED
    assert signers(read, KEYS) == ["key_demo_1"]


def test_extension_lines_are_signed():
    signed = sign(replace(POINT, extensions=("time 2026-07-01T09:00:00Z",)), KEY)
    text = signed.text()

    assert signers(parse(text), KEYS) == ["key_demo_1"]
    assert signers(parse(text.replace("09:00", "08:00")), KEYS) == []


def test_the_example_of_the_format_is_read():
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )

    read = parse(text)

    assert (read.checkpoint.origin, read.checkpoint.size) == (
        "example.com/behind-the-sofa",
        20852163,
    )
    assert read.text() == text


def test_key_ids_are_those_of_other_implementations():
    # The verifier key and the note of Go's sumdb/note package.
    name, key_hash, encoded = (
        "PeterNeumann",
        "c74f20a3",
        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    )
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    signature = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )

    assert note_key_id(name, key).hex() == signature[:4].hex() == key_hash
    key.verify(signature[4:], text.encode())


@pytest.mark.parametrize(
    "change",
    [
        {"size": 8},
        {"root": bytes(32)},
        {"origin": "rensei.example/audit/org_other"},
        {"extensions": ("more",)},
    ],
)
def test_a_changed_checkpoint_is_signed_by_nobody(change):
    assert signers(replace(SIGNED, checkpoint=replace(POINT, **change)), KEYS) == []


def test_signatures_of_strangers_are_passed_over():
    stranger = Ed25519PrivateKey.generate()
    both = replace(SIGNED, signatures=sign(POINT, stranger).signatures + SIGNED.signatures)

    assert signers(both, KEYS) == ["key_demo_1"]
    assert signers(sign(POINT, stranger), KEYS) == []


def test_one_wrong_signature_of_a_known_key_spoils_the_note():
    wrong = replace(sign(POINT, OTHER).signatures[0], value=bytes(64))

    assert signers(replace(SIGNED, signatures=(*SIGNED.signatures, wrong)), KEYS) == []


GOOD = SIGNED.text()
LINE = GOOD.split("\n")[4]


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.removesuffix("\n"),
        GOOD + "\n",
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("\n7\n", "\n07\n"),
        GOOD.replace("\n7\n", "\n-7\n"),
        GOOD.replace("\n7\n", "\n7 \n"),
        GOOD.replace("\n7\n", "\n٧\n"),
        GOOD.replace("\n7\n", "\n\n"),
        GOOD.replace("\n7\n", "\n"),
        GOOD.replace("\n7\n", "\n7\r\n"),
        GOOD.replace("AAECAwQF", "AAECAwQ"),
        GOOD.replace("AAECAwQF", "AAEC"),
        GOOD.replace("Hh8=", "Hh8"),
        GOOD.replace("Hh8=", "Hh9="),
        GOOD.replace("— ", "- "),
        GOOD.replace("— rensei.example/audit/org_demo ", "—  "),
        GOOD.replace("— rensei.example/audit/org_demo ", "— rensei+example "),
        GOOD.replace(LINE, LINE[:-7]),
        GOOD.replace(LINE, "— rensei.example AAAA"),
        GOOD + "more\n",
        GOOD + (LINE + "\n") * 64,
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(MalformedCheckpoint):
        parse(text)


@pytest.mark.parametrize("between", ["", "\n", "\n\n\n"])
def test_a_file_of_checkpoints_is_read_one_by_one(between):
    written = [sign(replace(POINT, size=size), KEY) for size in (1, 2, 3)]
    lines = between.join(each.text() for each in written).splitlines(keepends=True)

    assert list(parse_many([*lines, *between])) == written


def test_a_file_that_ends_in_the_middle_is_malformed_there():
    lines = (SIGNED.text() + SIGNED.checkpoint.body()).splitlines(keepends=True)
    checkpoints = parse_many(lines)

    assert next(checkpoints) == SIGNED
    with pytest.raises(MalformedCheckpoint):
        next(checkpoints)
