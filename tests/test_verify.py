"""verify.py: what it takes for good, and what is wrong with what is not."""

import copy
import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

import verify
from domain import merkle
from tests.audit_bundles import Log, encoded, signing_key, write

ROWS = 40
ROTATED_AT = 15
SIZES = (7, 16, 25, 33)
"""Of the kept checkpoints."""


def a_log(rows=ROWS):
    return Log(rows, rotate_at=ROTATED_AT)


LOG = a_log()
EVENTS = 5
"""The place of the first row among the lines of a whole bundle."""


@pytest.fixture
def run(tmp_path, capsys):
    """Verify lines with kept checkpoints; returns the exit status and the report."""

    def run(lines, kept=(), jwks=(), *more):
        arguments = [write(tmp_path / "bundle.gz", lines), "--json", "--quiet", *more]
        for number, text in enumerate(kept):
            (tmp_path / f"kept{number}").write_text(text)
            arguments += ["--checkpoint", str(tmp_path / f"kept{number}")]
        for number, document in enumerate(jwks):
            (tmp_path / f"jwks{number}").write_text(json.dumps(document))
            arguments += ["--jwks", str(tmp_path / f"jwks{number}")]
        status = verify.main(arguments)
        told = capsys.readouterr()
        return status, json.loads(told.out) if told.out else told.err

    return run


def keep(log, sizes=SIZES):
    return "".join(log.checkpoint(size) for size in sizes)


def wrong(report):
    """Kind and rows of the first finding."""
    found = report["findings"][0]
    return found["kind"], found["row"], found["last_row"] or found["row"]


def says(report, part, words):
    return any(words in line for line in report[part])


# --- good ---------------------------------------------------------------------------------------


def test_a_good_bundle_is_good_and_says_what_nobody_can_prove(run):
    status, report = run(LOG.bundle(), [keep(LOG)])

    assert status == 0
    assert report["findings"] == []
    assert says(report, "proved", "rows 1 to 40 follow one another without a gap")
    assert says(report, "proved", "rows 1 to 40 are in the tree of the newest checkpoint")
    assert says(report, "proved", "rows 1 to 33 are those that a kept checkpoint covers")
    assert says(report, "unproved", "rows 34 to 40 are as they were first written")
    assert says(report, "unproved", "nothing came after row 40")
    assert says(report, "unproved", "the keys are the workspace's: they came from the bundle")
    assert says(report, "unproved", "what was recorded is true")


def test_without_a_kept_checkpoint_nothing_says_that_rows_are_the_first_written(run):
    status, report = run(LOG.bundle(), jwks=[LOG.jwks()])

    assert status == 0
    assert says(report, "unproved", "rows 1 to 40 are as they were first written")
    assert not says(report, "unproved", "the keys are the workspace's")


def test_a_checkpoint_of_all_rows_covers_all_rows(run):
    status, report = run(LOG.bundle(), [LOG.checkpoint()])

    assert status == 0
    assert says(report, "proved", "rows 1 to 40 are those that a kept checkpoint covers")
    assert not says(report, "unproved", "first written")


@pytest.mark.parametrize("size", range(6))
def test_short_and_empty_logs_are_good(run, size):
    log = Log(size)

    assert run(log.bundle(), [log.checkpoint()])[0] == 0


@pytest.mark.parametrize(
    ("first", "last"), [(1, 1), (1, 16), (2, 2), (9, 20), (17, 40), (32, 33), (39, 40), (40, 40)]
)
def test_a_range_is_shown_to_be_of_the_tree_by_its_two_proofs(run, first, last):
    status, report = run(LOG.bundle(first, last), [LOG.checkpoint(last), LOG.checkpoint(40)])

    assert status == 0
    assert says(report, "proved", f"rows {first} to {last} are in the tree of the newest")
    assert says(report, "proved", f"rows {first} to {last} are those that a kept checkpoint covers")


def test_a_range_goes_on_from_what_was_checked_before(run):
    status, report = run(LOG.bundle(26, 40), [LOG.checkpoint(25)])

    assert status == 0
    assert says(report, "unproved", "rows 26 to 40 are as they were first written")


def test_a_range_beside_all_kept_checkpoints_is_not_called_checked(run):
    status, told = run(LOG.bundle(20, 24), [keep(LOG, (7, 33))])

    assert status == 2
    assert "none of the kept checkpoints" in told


def test_a_size_that_nobody_has_signed_hides_no_loss(run):
    lines = LOG.bundle(1, 20, 20)
    lines[0]["treeSize"] = 10**6
    del lines[2]

    assert wrong(run(lines, [keep(LOG)])[1]) == ("missing", 21, 33)


def test_a_range_says_that_it_is_one(run):
    report = run(LOG.bundle(9, 20))[1]

    assert says(report, "unproved", "about other rows than 9 to 20 of 40")


def test_an_older_bundle_is_good_when_it_is_said_to_be_older(run):
    older = LOG.bundle(size=30)

    status, report = run(older, [keep(LOG)], (), "--older")

    assert status == 0
    assert says(report, "unproved", "agrees with 1 of the kept checkpoints")
    assert wrong(run(older, [keep(LOG)])[1]) == ("missing", 31, 33)


def test_checkpoints_of_other_workspaces_in_the_same_file_are_passed_over(run):
    other = Log(9, seed=2, workspace="org_other")

    assert run(LOG.bundle(), [other.checkpoint() + keep(LOG) + other.checkpoint(3)])[0] == 0


def test_what_no_hash_covers_is_named(run):
    lines = LOG.bundle()
    lines[EVENTS]["readable"] = {"name": "Ada"}

    status, report = run(lines)

    assert status == 0
    assert says(report, "unproved", "what the rows say in readable: no hash covers it")


def test_a_bundle_that_was_unpacked_on_the_way_is_read_too(run, tmp_path):
    packed = write(tmp_path / "packed", LOG.bundle())
    plain = tmp_path / "plain"
    plain.write_bytes(gzip.decompress(Path(packed).read_bytes()))

    assert verify.main([str(plain), "--quiet"]) == 0


def test_it_tells_how_far_it_is(run, monkeypatch, tmp_path, capsys):
    log = Log(300)
    path = write(tmp_path / "bundle", log.bundle())
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(verify.time, "monotonic", lambda: next(clock))

    assert verify.main([path]) == 0

    assert capsys.readouterr().err.splitlines() == [
        "128 of 300 rows, 6 a second, 27 s left",
        "256 of 300 rows, 6 a second, 7 s left",
    ]


def test_it_runs_in_an_empty_folder_without_the_project(tmp_path):
    shutil.copy(verify.__file__, tmp_path / "verify.py")
    lines = LOG.bundle()
    lines[EVENTS + 3]["payload"] = {"forged": True}
    for name, each in (("good", LOG.bundle()), ("bad", lines)):
        write(tmp_path / name, each)

    def started(name):
        return subprocess.run(
            [sys.executable, "-I", "verify.py", name],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    good, bad = started("good"), started("bad")

    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("Audit log of org_demo: good\n\nProved:\n  - rows 1 to 40 follow")
    assert bad.returncode == 1
    assert "WRONG (hash): row 4: its content is not what its entryHash was made of" in bad.stdout
    assert "import domain" not in (tmp_path / "verify.py").read_text()


def test_the_two_packages_are_pinned_to_the_versions_of_the_server():
    text = Path(verify.__file__).read_text()
    locked = (Path(verify.__file__).parent / "requirements" / "server.txt").read_text()

    for package in ("cryptography", "rfc8785"):
        pin = next(line.split()[0] for line in locked.splitlines() if line.startswith(package))
        assert f'"{pin}"' in text
        assert pin in text.split('"""')[1]


def test_every_word_for_what_is_wrong_is_explained():
    text = Path(verify.__file__).read_text()
    page = (Path(verify.__file__).parent / "docs" / "guides" / "audit.md").read_text()

    words = set(re.findall(r'(?:Bad|Finding|_find)\(\s*"([a-z-]+)"', text))
    explained = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page, re.MULTILINE)

    assert len(words) > 15
    assert words == {word for words in explained for word in re.findall("[a-z-]+", words)}


# --- bad rows -----------------------------------------------------------------------------------


def others(value):
    """A value of the same kind that is not this one."""
    if value is None:
        return "somebody"
    if isinstance(value, dict):
        return {**value, "more": 1}
    if isinstance(value, int):
        return value + 1
    return value[:-2] + ("x" if value[-2] != "x" else "y") + value[-1]


def edit(log, lines, place, rng):
    """One member of one row, chosen by chance, says something else."""
    row = lines[EVENTS + place]
    member = rng.choice(
        ["id", "eventType", "actorId", "actorType", "entityType", "entityId", "payload"]
    )
    row[member] = others(row[member])
    return "hash", place + 1, place + 1


def edit_number(log, lines, place, rng):
    """A number of a payload changes in its last bit."""
    row = next(line for line in lines[EVENTS + place : -1] if "cost" in line["payload"])
    row["payload"]["cost"] = 0.1 + 2**-56
    return "hash", row["sequenceNumber"], row["sequenceNumber"]


def back_date(log, lines, place, rng):
    row = lines[EVENTS + place]
    row["occurredAt"] = row["occurredAt"].replace("2026", "2025")
    return "hash", place + 1, place + 1


def edit_hash(log, lines, place, rng):
    lines[EVENTS + place]["entryHash"] = rng.randbytes(32).hex()
    return "hash", place + 1, place + 1


def edit_previous(log, lines, place, rng):
    lines[EVENTS + place]["prevHash"] = rng.randbytes(32).hex()
    return "previous-hash", place + 1, place + 1


def edit_signature(log, lines, place, rng):
    lines[EVENTS + place]["signature"] = log.seals[place - 1].signature
    return "signature", place + 1, place + 1


def another_key(log, lines, place, rng):
    lines[EVENTS + place]["signingKeyId"] = "key_nobody"
    return "key-unknown", place + 1, place + 1


def delete(log, lines, place, rng):
    count = min(rng.randint(1, 3), ROWS - place - 1)
    del lines[EVENTS + place : EVENTS + place + count]
    lines[-1]["count"] -= count
    return "gap", place + 1, place + count


def delete_and_number_anew(log, lines, place, rng):
    del lines[EVENTS + place]
    for line in lines[EVENTS + place : -1]:
        line["sequenceNumber"] -= 1
    lines[-1]["count"] -= 1
    return "previous-hash", place + 1, place + 1


def insert_twice(log, lines, place, rng):
    lines.insert(EVENTS + place, copy.deepcopy(lines[EVENTS + place - 1]))
    lines[-1]["count"] += 1
    return "order", place + 1, place + 1


def insert_and_number_anew(log, lines, place, rng):
    lines.insert(EVENTS + place, copy.deepcopy(lines[EVENTS + place - 1]))
    for line in lines[EVENTS + place : -1]:
        line["sequenceNumber"] += 1
    lines[-1]["count"] += 1
    return "previous-hash", place + 1, place + 1


def swap(log, lines, place, rng):
    """Two rows exchange their places in the chain, numbers and hashes staying where they were."""
    one, two = lines[EVENTS + place], lines[EVENTS + place - 1]
    for member in ("id", "entityId", "payload", "eventType", "actorId"):
        one[member], two[member] = two[member], one[member]
    return "hash", place, place


def swap_lines(log, lines, place, rng):
    at = EVENTS + place
    lines[at], lines[at - 1] = lines[at - 1], lines[at]
    return "gap", place, place


def truncate(log, lines, place, rng):
    """The newest rows go, and everything that tells of them."""
    lines[:] = log.bundle(size=place)
    return "missing", place + 1, 33


def truncate_rows_only(log, lines, place, rng):
    count = ROWS - place
    del lines[EVENTS + place : EVENTS + ROWS]
    lines[-1]["count"] -= count
    return "missing", place + 1, ROWS


def rewrite(log, lines, place, rng):
    """Who holds database and keys changes a row and seals all that follows anew."""
    log.entries[place] = replace(log.entries[place], entity_id="another")
    log.resign(place)
    lines[:] = log.bundle()
    return "tree", *around(place + 1)


def rewrite_without_a_row(log, lines, place, rng):
    del log.entries[place], log.seals[place]
    log.resign(place)
    lines[:] = log.bundle()
    return "tree", *around(place + 1)


def rewrite_with_a_row_more(log, lines, place, rng):
    log.entries.insert(place, replace(log.entries[place], id="aud_new"))
    log.seals.insert(place, log.seals[place])
    log.resign(place)
    lines[:] = log.bundle()
    return "tree", *around(place + 1)


def rewrite_back_dated(log, lines, place, rng):
    earlier = log.entries[place].occurred_at - timedelta(days=1)
    log.entries[place] = replace(log.entries[place], occurred_at=earlier)
    log.resign(place)
    lines[:] = log.bundle()
    return "time", place + 1, place + 1


def rewrite_with_a_key_of_ones_own(log, lines, place, rng):
    key = signing_key("key_own", 99)
    kids = replace(log.seals[place], signing_key_id="key_own")
    log.seals[place] = kids
    log.resign(place, [*log.keys, key])
    lines[:] = log.bundle()
    return "key-unknown", place + 1, place + 1


def sign_with_a_revoked_key(log, lines, place, rng):
    place = max(place, ROTATED_AT)
    log.seals[place] = replace(log.seals[place], signing_key_id=log.keys[0].kid)
    log.resign(place)
    lines[:] = log.bundle()
    return "revoked", place + 1, place + 1


def splice(log, lines, place, rng):
    other = Log(ROWS, seed=2, workspace="org_other")
    lines[EVENTS + place] = other.event(place)
    return "workspace", place + 1, place + 1


def splice_renamed(log, lines, place, rng):
    other = Log(ROWS, seed=2, workspace="org_other")
    lines[EVENTS + place] = {**other.event(place), "workspaceId": log.workspace}
    return "previous-hash" if place else "hash", place + 1, place + 1


def lose_a_member(log, lines, place, rng):
    del lines[EVENTS + place][rng.choice(["signature", "payload", "actorId", "prevHash"])]
    return "malformed", place + 1, place + 1


def spoil_a_member(log, lines, place, rng):
    member, value = rng.choice(
        [
            ("sequenceNumber", "7"),
            ("sequenceNumber", True),
            ("payload", []),
            ("payload", None),
            ("entryHash", "A" * 64),
            ("occurredAt", "2026-07-01T09:00:00Z"),
            ("occurredAt", "2026-13-01T09:00:00.000Z"),
            ("occurredAt", "2026-07-01T09:00:00.000+00:00"),
            ("eventType", None),
            ("actorId", 7),
        ]
    )
    lines[EVENTS + place][member] = value
    return "malformed", place + 1, place + 1


def write_a_member_twice(log, lines, place, rng):
    text = json.dumps(lines[EVENTS + place])
    lines[EVENTS + place] = text[:-1] + ',"payload":{"forged":true}}\n'
    return "malformed", place + 1, place + 1


def write_a_number_of_too_many_digits(log, lines, place, rng):
    text = json.dumps({**lines[EVENTS + place], "payload": {"n": 1}})
    lines[EVENTS + place] = text.replace('{"n": 1}', '{"n": 9007199254740993}') + "\n"
    return "malformed", place + 1, place + 1


def half_a_character(log, lines, place, rng):
    lines[EVENTS + place] = json.dumps({**lines[EVENTS + place], "entityId": "\ud800"}) + "\n"
    return "hash", place + 1, place + 1


def around(row):
    """From the row after the last kept checkpoint before it, to the first that covers it."""
    return (
        max((size for size in SIZES if size < row), default=0) + 1,
        min(size for size in SIZES if size >= row),
    )


CORRUPTIONS = [
    edit,
    edit_number,
    back_date,
    edit_hash,
    edit_previous,
    edit_signature,
    another_key,
    delete,
    delete_and_number_anew,
    insert_twice,
    insert_and_number_anew,
    swap,
    swap_lines,
    truncate,
    truncate_rows_only,
    rewrite,
    rewrite_without_a_row,
    rewrite_with_a_row_more,
    rewrite_back_dated,
    rewrite_with_a_key_of_ones_own,
    sign_with_a_revoked_key,
    splice,
    splice_renamed,
    lose_a_member,
    spoil_a_member,
    write_a_member_twice,
    write_a_number_of_too_many_digits,
    half_a_character,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda each: each.__name__)
def test_every_corruption_is_named(run, corrupt):
    for seed in range(8):
        rng = random.Random(f"{corrupt.__name__} {seed}")
        log = a_log()
        kept = keep(log)
        lines = log.bundle()

        expected = corrupt(log, lines, rng.randint(1, 30), rng)
        status, report = run(lines, [kept])

        assert (status, wrong(report)) == (1, expected), seed
        good = expected[1] - 1
        assert good == 0 or any(f"rows 1 to {good} follow" in line for line in report["proved"])
        assert says(report, "unproved", "after the first bad one")


def test_without_kept_checkpoints_a_log_that_was_sealed_anew_passes_and_says_so(run):
    log = a_log()
    log.entries[4] = replace(log.entries[4], entity_id="another")
    log.resign(4)

    status, report = run(log.bundle(), jwks=[log.jwks()])

    assert status == 0
    assert says(report, "unproved", "could have written them anew")


def test_a_kept_checkpoint_names_the_row_when_the_one_before_is_kept_too(run):
    kept = keep(LOG, range(1, 41))
    log = a_log()
    log.entries[20] = replace(log.entries[20], entity_id="another")
    log.resign(20)

    assert wrong(run(log.bundle(), [kept])[1]) == ("tree", 21, 21)


# --- bad ranges, checkpoints, keys and bundles ----------------------------------------------------


def test_a_range_of_a_log_that_was_sealed_anew_is_no_part_of_what_was_kept(run):
    kept = LOG.checkpoint(25)
    log = a_log()
    log.entries[11] = replace(log.entries[11], entity_id="another")
    log.resign(11)

    assert wrong(run(log.bundle(10, 30), [kept])[1]) == ("tree", 10, 25)
    status, report = run(log.bundle(26, 40), [kept])
    assert status == 1
    assert wrong(report)[0] == "checkpoint-inconsistent"


def test_rows_of_a_range_that_the_tree_does_not_hold_are_named(run):
    log = a_log()
    log.entries[11] = replace(log.entries[11], entity_id="another")
    log.resign(11)
    honest, forged = LOG.bundle(10, 20), log.bundle(10, 20)
    # The rows of one log under checkpoint and proofs of another.
    assert wrong(run([*honest[:5], *forged[5:]])[1]) == ("tree", 10, 20)
    assert wrong(run([*honest[:5], *forged[5:-2], honest[-2], honest[-1]])[1])[0] == "previous-hash"
    log.resign(9)
    assert run(honest)[0] == 0


@pytest.mark.parametrize("place", [3, 4])
def test_a_forged_proof_proves_nothing(run, place):
    lines = LOG.bundle(10, 20)
    lines[place]["hashes"][0] = lines[place]["hashes"][1]

    assert wrong(run(lines)[1])[0] == "tree"


@pytest.mark.parametrize("place", [3, 4])
def test_a_range_without_its_proofs_cannot_be_checked(run, place):
    lines = LOG.bundle(10, 20)
    del lines[place]

    assert run(lines)[0] == 2


def test_a_kept_checkpoint_that_was_changed_is_named(run):
    kept = LOG.checkpoint(25).replace("\n25\n", "\n24\n")

    status, report = run(LOG.bundle(), [kept])

    assert status == 1
    assert wrong(report)[0] == "checkpoint-signature"


def test_two_signed_checkpoints_of_one_size_convict_the_server(run):
    log = a_log()
    log.entries[4] = replace(log.entries[4], entity_id="another")
    log.resign(4)

    status, report = run(LOG.bundle(), [LOG.checkpoint(25), log.checkpoint(25)])

    assert status == 1
    assert wrong(report)[0] == "checkpoint-conflict"


def test_the_bundles_own_checkpoint_must_be_of_its_tree_and_signed(run):
    for text, kind in (
        (LOG.checkpoint(39), "checkpoint"),
        (LOG.checkpoint(40, signing_key("key_own", 99)), "checkpoint-signature"),
        (Log(40, seed=3, workspace="org_other").checkpoint(), "checkpoint"),
    ):
        lines = LOG.bundle()
        lines[2]["text"] = text
        assert wrong(run(lines)[1])[0] == kind

    lines = LOG.bundle()
    other = Log(40, seed=4)
    lines[2]["text"] = other.checkpoint(40, LOG.key)
    assert wrong(run(lines)[1]) == ("tree", 1, 40)


def changed(key, **change):
    return {"keys": [{**key.jwk(), **change}, *(each.jwk() for each in LOG.keys[1:])]}


def test_keys_that_were_kept_convict_keys_that_were_changed(run):
    first = LOG.keys[0]
    lines = LOG.bundle()
    for shown in (
        {"keys": [LOG.keys[1].jwk()]},
        changed(first, x=signing_key("key_own", 99).jwk()["x"]),
        changed(first, **{"rensei:revoked_at": None}),
        changed(first, **{"rensei:revoked_at": "2026-07-02T00:00:00.000Z"}),
    ):
        lines[1] = {"type": "keys", **shown}
        status, report = run(lines, jwks=[LOG.jwks()])
        assert status == 1
        assert wrong(report)[0] == "keys"


def test_keys_kept_before_a_rotation_go_on_counting_beside_newer_ones(run):
    before = {"keys": [{**LOG.keys[0].jwk(), "rensei:revoked_at": None}]}

    assert run(LOG.bundle(), [keep(LOG)], [before, LOG.jwks()])[0] == 0
    assert wrong(run(LOG.bundle(), (), [before])[1]) == ("key-unknown", ROTATED_AT, ROTATED_AT)


def test_keys_of_another_workspace_do_not_count(run):
    lines = LOG.bundle()
    for jwk in lines[1]["keys"]:
        jwk["rensei:workspace_id"] = "org_other"

    assert ("key-unknown", 1, 1) in [
        (each["kind"], each["row"], each["row"]) for each in run(lines)[1]["findings"]
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: lines.pop(),
        lambda lines: lines.append({"type": "event"}),
        lambda lines: lines[-1].update(count=39),
        lambda lines: lines[0].update(version=2),
        lambda lines: lines[0].update(treeSize="40"),
        lambda lines: lines[0].update({"from": 0}),
        lambda lines: lines[0].pop("workspaceId"),
        lambda lines: lines.pop(0),
        lambda lines: lines.pop(1),
        lambda lines: lines[1].update(keys=[{"kid": "a"}]),
        lambda lines: lines[1].update(keys="none"),
        lambda lines: lines[2].update(text="nothing"),
        lambda lines: lines.insert(9, {"type": "news"}),
        lambda lines: lines.clear(),
    ],
)
def test_what_is_no_whole_bundle_cannot_be_checked(run, spoil):
    lines = LOG.bundle()
    spoil(lines)

    status, told = run(lines)

    assert status == 2
    assert "could not be checked" in told


def test_a_file_that_breaks_off_cannot_be_checked(tmp_path, capsys):
    path = Path(write(tmp_path / "bundle", LOG.bundle()))
    packed = path.read_bytes()
    for size in (0, 1, 9, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:size])
        assert verify.main([str(path), "--quiet"]) == 2
    assert verify.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cut", [1, 2, 5, 60, 100, 150])
def test_a_checkpoint_that_was_cut_off_while_it_was_copied_is_left_out(run, cut):
    status, report = run(LOG.bundle(), [(LOG.checkpoint(25) + "\n" + LOG.checkpoint(33))[:-cut]])

    assert (status, report["findings"]) == (0, [])
    assert says(report, "proved", "rows 1 to 25 are those that a kept checkpoint covers")
    assert says(report, "unproved", "it is cut off")


@pytest.mark.parametrize("text", ["", "nothing\n", LOG.checkpoint(5)[:-9], "\n\n"])
def test_a_file_without_checkpoints_cannot_be_checked_against(run, text):
    assert run(LOG.bundle(), [text])[0] == 2


def test_a_file_of_another_workspaces_checkpoints_cannot_be_checked_against(run):
    other = Log(5, seed=2, workspace="org_other")

    assert run(LOG.bundle(), [other.checkpoint()])[0] == 2
    assert run(LOG.bundle(), (), (), "--workspace", "org_other")[0] == 2
    assert run(LOG.bundle(), (), (), "--workspace", "org_demo")[0] == 0


def test_nothing_that_is_spoilt_at_random_passes_for_another_log(run, tmp_path, capsys):
    rng = random.Random(1)
    log = Log(12, rotate_at=6)
    path = Path(write(tmp_path / "good", log.bundle(3, 10)))
    (tmp_path / "jwks").write_text(json.dumps(log.jwks()))
    (tmp_path / "kept").write_text(log.checkpoint(7))
    good = gzip.decompress(path.read_bytes())
    statuses = Counter()
    for _ in range(250):
        spoilt = bytearray(good)
        place = rng.randrange(len(good))
        match rng.randrange(4):
            case 0:
                spoilt[place] ^= 1 << rng.randrange(8)
            case 1:
                spoilt[place] = rng.choice(b'0123456789"{}[],:\\eE.- \n')
            case 2:
                del spoilt[place : place + rng.randrange(1, 40)]
            case _:
                other = rng.randrange(len(good))
                spoilt[place:place] = good[other : other + rng.randrange(1, 60)]
        path.write_bytes(spoilt)
        status = verify.main(
            [
                str(path),
                "--quiet",
                f"--jwks={tmp_path / 'jwks'}",
                f"--checkpoint={tmp_path / 'kept'}",
            ]
        )
        statuses[status] += 1
        if status == 0:
            read = [json.loads(line) for line in spoilt.splitlines()]
            for line, was in zip(read, map(json.loads, good.splitlines()), strict=True):
                assert was["type"] != "event" or was.items() <= line.items()

    assert set(statuses) == {0, 1, 2}
    assert capsys.readouterr().err.count("could not be checked") >= statuses[2]


# --- a server's address ---------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A server with the routes that are asked for; `shown` is the log that it shows."""

    class Handler(BaseHTTPRequestHandler):
        shown = LOG
        asked: ClassVar = []

        def do_GET(self):
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.asked.append((parts.path, query, self.headers.get("Authorization")))
            log = self.shown
            if parts.path == "/moved/api/audit/export":
                self.send_response(302)
                self.send_header("Location", "/api/audit/export")
                self.end_headers()
                return
            if parts.path == "/.well-known/audit-keys/org_demo":
                body = json.dumps(log.jwks()).encode()
            elif parts.path == "/api/audit/export":
                lines = log.bundle(int(query["from"]))
                body = Path(write(tmp_path / "exported", lines)).read_bytes()
            else:
                old, size = int(query["from"]), int(query["to"])
                proof = merkle.consistency(old, size, log.nodes(size))
                body = json.dumps({"hashes": [encoded(each) for each in proof]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *told):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        serving = threading.Thread(target=listening.serve_forever, args=(0.01,))
        serving.start()
        Handler.address = f"http://127.0.0.1:{listening.server_port}"
        Handler.asked.clear()
        yield Handler
        listening.shutdown()
        serving.join()


@pytest.fixture
def ask(server, tmp_path, capsys):
    """Verify what the server shows, with a kept file; returns the exit status and the report."""

    def ask(kept, *more, address=None):
        (tmp_path / "kept").write_text(kept)
        status = verify.main(
            [
                address or server.address,
                "--workspace=org_demo",
                "--key=rsk_live_x",
                f"--checkpoint={tmp_path / 'kept'}",
                "--json",
                "--quiet",
                *more,
            ]
        )
        told = capsys.readouterr()
        return status, json.loads(told.out) if told.out else told.err

    return ask


def test_a_servers_log_is_checked_at_its_address(server, ask):
    status, report = ask(keep(LOG))

    assert (status, report["findings"]) == (0, [])
    assert says(report, "unproved", "they came from the server itself")
    assert server.asked == [
        ("/api/audit/export", {"from": "1", "workspaceId": "org_demo"}, "Bearer rsk_live_x"),
        ("/.well-known/audit-keys/org_demo", {}, None),
    ]


def test_new_rows_alone_are_checked_against_what_was_kept_before(server, ask):
    status, report = ask(keep(LOG), "--from=26")

    assert (status, report["findings"]) == (0, [])
    assert says(report, "proved", "rows 26 to 33 are those that a kept checkpoint covers")
    assert [query for path, query, _ in server.asked if path.endswith("consistency")] == [
        {"from": "7", "to": "40", "workspaceId": "org_demo"},
        {"from": "16", "to": "40", "workspaceId": "org_demo"},
    ]


def test_a_log_that_did_not_grow_from_what_was_kept_is_found_out_by_new_rows_alone(server, ask):
    log = a_log()
    log.entries[11] = replace(log.entries[11], entity_id="another")
    log.resign(11)
    server.shown = log

    assert wrong(ask(keep(LOG, (7, 16)), "--from=30")[1])[0] == "checkpoint-inconsistent"
    assert wrong(ask(keep(LOG, (25,)), "--from=26")[1])[0] == "checkpoint-inconsistent"
    assert ask(keep(LOG, (7,)), "--from=30")[0] == 0


def test_a_server_that_lost_rows_is_found_out(server, ask):
    server.shown = a_log(30)

    status, report = ask(keep(LOG))

    assert (status, wrong(report)) == (1, ("missing", 31, 33))


def test_a_server_that_shows_a_part_for_the_whole_is_found_out(server, ask):
    class Part:
        """The first rows, under a checkpoint of all that somebody has signed."""

        def __getattr__(self, name):
            return getattr(LOG, name)

        def bundle(self, first):
            return LOG.bundle(first + self.later, 30)

    server.shown = Part()
    Part.later = 0
    assert wrong(ask(keep(LOG, (7, 25)))[1]) == ("missing", 31, 40)
    Part.later = 3
    assert ask(keep(LOG, (7, 25)))[0] == 2


def test_no_new_rows_are_no_reason_not_to_compare(ask):
    status, report = ask(keep(LOG), "--from=41")

    assert (status, report["findings"]) == (0, [])
    assert says(report, "proved", "the log began with the 33 rows that a kept checkpoint covers")


def test_a_redirect_is_not_followed_with_the_key(server, ask):
    status, told = ask(keep(LOG), address=f"{server.address}/moved")

    assert status == 2
    assert "302" in told
    assert [path for path, _, _ in server.asked] == ["/moved/api/audit/export"]


def test_a_server_that_is_not_there_cannot_be_checked(ask):
    assert ask(keep(LOG), address="http://127.0.0.1:1")[0] == 2
    assert verify.main(["http://127.0.0.1:1", "--quiet"]) == 2


# --- its tree against the other -------------------------------------------------------------------


def test_its_proofs_agree_with_those_of_the_server():
    size = 37
    log = Log(size)
    known = log.nodes()
    hashes = [bytes.fromhex(each.entry_hash) for each in log.seals]
    roots = [merkle.root(each, known) for each in range(size + 1)]

    tree = verify.Tree()
    outcomes = Counter()
    for number, sealed in enumerate(log.seals):
        assert tree.root() == roots[number]
        leaf = verify.leaf_hash(sealed.entry_hash)
        for of in range(number + 1, size + 1):
            proof = merkle.inclusion(number, of, known)
            root, peaks = verify.climb(leaf, number, of, proof)
            assert (root, peaks) == (roots[of], tree.peaks)
            assert merkle.includes(hashes[number], number, of, proof, root)
        tree.append(leaf)
    for old in range(size + 1):
        for of in range(old, size + 1):
            proof = merkle.consistency(old, of, known)
            assert verify.is_consistent(old, of, proof, roots[old], roots[of])
            for forged in (proof[:-1], [*proof, roots[1]], [roots[1], *proof[1:]], proof[::-1]):
                both = {
                    verify.is_consistent(old, of, forged, roots[old], roots[of]),
                    merkle.is_consistent(old, of, forged, roots[old], roots[of]),
                }
                assert both == {forged == proof}
                outcomes[forged == proof] += 1
            assert old == of or not verify.is_consistent(of, old, proof, roots[of], roots[old])
    assert outcomes[False] > outcomes[True] > 0


def test_a_proof_of_the_wrong_length_has_no_root():
    known = Log(9).nodes()
    proof = merkle.inclusion(3, 9, known)

    for each in (proof[:-1], [*proof, proof[0]]):
        with pytest.raises(verify.BadProof):
            verify.climb(bytes(32), 3, 9, each)
