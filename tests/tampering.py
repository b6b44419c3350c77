"""What a database superuser, who has the master key too, can do to a stored chain.

Every function of `TAMPERINGS` changes rows that a kept checkpoint covers, commits, and says what a
check from outside must name: (kind of finding, first row, last row).
"""

import asyncio
import base64
import contextlib
import io
import json
import random
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql

import verify
from auth.audit_keys import open_signing_key
from auth.sealing import MasterKey
from domain import merkle
from domain.audit_entries import GENESIS, Entry, canonical, seal
from domain.checkpoints import Checkpoint, parse, sign
from jobs.seal_audit import seal_audit
from persistence import audit, database

Row = dict[str, Any]
Named = tuple[str, int, int]
Tampering = Callable[["Victim", int, random.Random], Awaitable[Named]]

TABLES = ("audit_events", "audit_nodes", "audit_chains", "audit_checkpoints", "audit_keys")


@dataclass
class Victim:
    """A chain as it is stored, with all that is needed to write it anew and to put it back."""

    connection: Any
    workspace: str
    saved: dict[str, list[Row]]
    keys: dict[str, Ed25519PrivateKey]
    kept: list[int]
    """Sizes of the checkpoints that somebody keeps."""
    stranger: list[Row] = field(default_factory=list)
    """Rows of another workspace."""

    @classmethod
    async def load(cls, connection: Any, workspace: str, master: MasterKey, stranger: str) -> Self:
        saved = {table: await _rows(connection, table, workspace) for table in TABLES}
        keys = {
            row["kid"]: open_signing_key(master, row["kid"], bytes(row["secret_encrypted"]))
            for row in await _all(connection, "select * from audit_key_secrets")
            if row["kid"] in {key["kid"] for key in saved["audit_keys"]}
        }
        kept = sorted(row["tree_size"] for row in saved["audit_checkpoints"])
        others = await _rows(connection, "audit_events", stranger)
        return cls(connection, workspace, saved, keys, kept, others)

    @property
    def notes(self) -> str:
        """The checkpoints as somebody has carried them away."""
        return "".join(row["note"] + "\n" for row in self.saved["audit_checkpoints"])

    def rows(self) -> list[Row]:
        """The events, to be changed at will."""
        return deepcopy(sorted(self.saved["audit_events"], key=lambda row: row["sequence_number"]))

    def span(self, row: int) -> tuple[int, int]:
        """The rows that a wrong root speaks of when this row was changed and all sealed anew."""
        before = max((size for size in self.kept if size < row), default=0)
        return before + 1, min(size for size in self.kept if size >= row)

    async def run(self, statement: str, *values: Any) -> None:
        await self.connection.execute(statement, values)

    async def restore(self) -> None:
        """Put everything back, byte for byte."""
        for table in TABLES:
            await self.put(table, self.saved[table])

    async def put(self, table: str, rows: list[Row]) -> None:
        """Replace what a table holds of the chain."""
        async with self.connection.transaction():
            await self.run(f"delete from {table} where workspace_id = %s", self.workspace)
            if rows:
                columns = list(rows[0])
                statement = sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, columns)),
                    sql.SQL(", ").join(sql.Placeholder() * len(columns)),
                )
                async with self.connection.cursor() as cursor:
                    await cursor.executemany(statement, [tuple(row.values()) for row in rows])

    def seal(self, rows: list[Row], start: int = 0) -> None:
        """Seal the rows from this place on anew, with the real keys."""
        for place in range(start, len(rows)):
            row = rows[place]
            row["sequence_number"] = place + 1
            row["workspace_id"] = self.workspace
            if place and row["occurred_at"] < rows[place - 1]["occurred_at"]:
                row["occurred_at"] = rows[place - 1]["occurred_at"]
            self.seal_one(rows, place)

    def seal_one(self, rows: list[Row], place: int) -> None:
        row = rows[place]
        before = bytes(rows[place - 1]["entry_hash"]).hex() if place else GENESIS
        kid = row["signing_key_id"]
        sealed = seal(_entry(row), before, kid, self.keys[kid])
        row["prev_hash"] = bytes.fromhex(sealed.prev_hash)
        row["entry_hash"] = bytes.fromhex(sealed.entry_hash)
        row["signature"] = base64.b64decode(sealed.signature)

    async def rewrite(self, rows: list[Row]) -> None:
        """Store a chain that fits in itself: rows, nodes, head, and checkpoints signed anew."""
        hashes = [bytes(row["entry_hash"]) for row in rows]
        known = merkle.grow(0, hashes, {})
        size = len(rows)
        active = next(key["kid"] for key in self.saved["audit_keys"] if not key["revoked_at"])
        nodes = [
            {"workspace_id": self.workspace, "level": at.level, "index": at.number, "hash": value}
            for at, value in known.items()
            if at.level
        ]
        points = []
        for row in self.saved["audit_checkpoints"]:
            if row["tree_size"] <= size:
                told = parse(row["note"]).checkpoint
                root = merkle.root(told.size, known)
                point = Checkpoint(told.origin, told.size, root)
                note = sign(point, self.keys[active]).text()
                points.append({**row, "root_hash": root, "note": note})
        if not points or points[-1]["tree_size"] < size:
            (last,) = self.saved["audit_checkpoints"][-1:]
            name = parse(last["note"]).checkpoint.origin
            point = Checkpoint(name, size, merkle.root(size, known))
            points.append(
                {
                    **last,
                    "tree_size": size,
                    "root_hash": point.root,
                    "note": sign(point, self.keys[active]).text(),
                }
            )
        head = {
            **self.saved["audit_chains"][0],
            "size": size,
            "head_hash": hashes[-1],
            "head_at": rows[-1]["occurred_at"],
            "frontier": b"".join(known[node] for node in merkle.root_nodes(size)),
            "checkpoint_size": size,
        }
        await self.put("audit_events", rows)
        await self.put("audit_nodes", nodes)
        await self.put("audit_chains", [head])
        await self.put("audit_checkpoints", points)


def _entry(row: Row) -> Entry:
    return Entry(
        row["id"],
        row["workspace_id"],
        row["sequence_number"],
        row["event_type"],
        row["actor_id"],
        row["actor_type"],
        row["entity_type"],
        row["entity_id"],
        json.loads(row["payload"]),
        row["occurred_at"],
    )


async def _all(connection: Any, statement: str, *values: Any) -> list[Row]:
    return [row._asdict() for row in await (await connection.execute(statement, values)).fetchall()]


async def _rows(connection: Any, table: str, workspace: str) -> list[Row]:
    order = {"audit_events": "sequence_number", "audit_checkpoints": "tree_size"}.get(table, "1")
    return await _all(
        connection, f"select * from {table} where workspace_id = %s order by {order}", workspace
    )


class Outside:
    """Somebody who has kept checkpoints and keys, exports the log, and checks it."""

    def __init__(self, folder: Path, client: Any) -> None:
        self._folder = folder
        self._client = client

    @classmethod
    async def keeping(cls, victim: Victim, client: Any, folder: Path) -> Self:
        (folder / "kept").write_text(victim.notes)
        keys = await client.get(f"/.well-known/audit-keys/{victim.workspace}")
        (folder / "keys").write_bytes(keys.content)
        return cls(folder, client)

    async def check(self) -> tuple[int, list[Named]]:
        """The exit status, and what was found."""
        exported = await self._client.get("/api/audit/export", params={"from": 1})
        assert exported.status_code == 200, exported.text
        (self._folder / "bundle").write_bytes(exported.content)
        arguments = [
            str(self._folder / "bundle"),
            f"--checkpoint={self._folder / 'kept'}",
            f"--jwks={self._folder / 'keys'}",
            "--json",
            "--quiet",
        ]
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            status = await asyncio.to_thread(verify.main, arguments)
        found = json.loads(told.getvalue())["findings"] if told.getvalue() else []
        return status, [
            (each["kind"], each["row"], each["last_row"] or each["row"]) for each in found
        ]


async def grown(
    run_job: Any, superuser: Any, workspace: str, batches: list[int], rotate: Any = None
) -> None:
    """Give a chain rows, each batch covered by a checkpoint; half-way its key is rotated."""
    for place, count in enumerate(batches):
        if rotate is not None and place == len(batches) // 2:
            answer = await rotate.post("/api/audit/keys/rotate", json={})
            assert answer.status_code == 201, answer.text
        async with database.transaction() as db:
            for number in range(count):
                entity = ("thing", f"thing-{place}-{number}")
                payload = {"number": number, "cost": number / 7, "name": f"Zoë {place}"}
                await audit.append(db, workspace, None, "test.happened", entity, payload)
        # The next checkpoint need not be a second later.
        await superuser.execute(
            "update audit_chains set checkpoint_at = null where workspace_id = %s", (workspace,)
        )
        await run_job(seal_audit)


# --- one row, by hand ---------------------------------------------------------------------------


async def _set(victim: Victim, number: int, column: str, value: Any) -> None:
    await victim.run(
        f"update audit_events set {column} = %s where workspace_id = %s and sequence_number = %s",
        value,
        victim.workspace,
        number,
    )


async def edit_a_member(victim: Victim, number: int, rng: random.Random) -> Named:
    columns = ("id", "event_type", "actor_id", "actor_type", "entity_type", "entity_id")
    await _set(victim, number, rng.choice(columns), rng.randbytes(6).hex())
    return "hash", number, number


async def edit_a_payload(victim: Victim, number: int, rng: random.Random) -> Named:
    payload = json.loads(victim.rows()[number - 1]["payload"])
    payload[rng.choice(["n", "forged", *payload])] = rng.choice([None, True, 7, "x", [], 1.5])
    payload["mark"] = rng.randbytes(4).hex()
    await _set(victim, number, "payload", canonical(payload).decode())
    return "hash", number, number


async def spoil_a_payload(victim: Victim, number: int, rng: random.Random) -> Named:
    text = rng.choice(
        ['{"a": 1}', '{"a": {"b": []}}', "no JSON", '{"a":', "[]", "null", '{"a": NaN} ']
    )
    await _set(victim, number, "payload", text)
    return ("hash" if text.endswith("}") else "malformed"), number, number


async def back_date(victim: Victim, number: int, rng: random.Random) -> Named:
    earlier = victim.rows()[number - 1]["occurred_at"] - timedelta(hours=rng.randint(1, 5000))
    await _set(victim, number, "occurred_at", earlier)
    return "hash", number, number


async def edit_a_hash(victim: Victim, number: int, rng: random.Random) -> Named:
    await _set(victim, number, "entry_hash", rng.randbytes(32))
    return "hash", number, number


async def edit_a_previous_hash(victim: Victim, number: int, rng: random.Random) -> Named:
    await _set(victim, number, "prev_hash", rng.randbytes(32))
    return "previous-hash", number, number


async def edit_a_signature(victim: Victim, number: int, rng: random.Random) -> Named:
    other = victim.rows()[number - 2]["signature"]
    await _set(victim, number, "signature", rng.choice([rng.randbytes(64), other]))
    return "signature", number, number


async def name_another_key(victim: Victim, number: int, rng: random.Random) -> Named:
    used = victim.rows()[number - 1]["signing_key_id"]
    kid = rng.choice(["audk_nobody", *(each for each in victim.keys if each != used)])
    await _set(victim, number, "signing_key_id", kid)
    return "key-unknown" if kid == "audk_nobody" else "signature", number, number


async def edit_and_hash(victim: Victim, number: int, rng: random.Random) -> Named:
    """Edit a row and make its own hash and signature fit, but not the rows after it."""
    rows = victim.rows()
    rows[number - 1]["entity_id"] = rng.randbytes(6).hex()
    victim.seal_one(rows, number - 1)
    await victim.put("audit_events", rows)
    if number == len(rows):
        return "tree", *victim.span(number)
    if number in victim.kept:
        return "tree", *victim.span(number)
    return "previous-hash", number + 1, number + 1


# --- rows that go, come and change places -------------------------------------------------------


async def delete(victim: Victim, number: int, rng: random.Random) -> Named:
    last = min(number + rng.randint(0, 4), len(victim.rows()) - 1)
    await victim.run(
        "delete from audit_events where workspace_id = %s and sequence_number between %s and %s",
        victim.workspace,
        number,
        last,
    )
    return "gap", number, last


async def delete_and_close_the_gap(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    del rows[number - 1]
    for row in rows[number - 1 :]:
        row["sequence_number"] -= 1
    await victim.put("audit_events", rows)
    return "previous-hash", number, number


async def delete_the_end(victim: Victim, number: int, rng: random.Random) -> Named:
    await victim.run(
        "delete from audit_events where workspace_id = %s and sequence_number >= %s",
        victim.workspace,
        number,
    )
    return "missing", number, len(victim.rows())


async def truncate(victim: Victim, number: int, rng: random.Random) -> Named:
    """The newest rows go, and with them all that tells of them."""
    await victim.rewrite(victim.rows()[: number - 1])
    return "missing", number, max(victim.kept)


async def insert(victim: Victim, number: int, rng: random.Random) -> Named:
    """A row more, between two, the numbers after it moved on."""
    rows = victim.rows()
    forged = {
        **rows[number - 1],
        "id": "aud_forged",
        "occurred_at": rows[number - 2]["occurred_at"],
    }
    rows.insert(number - 1, forged)
    for row in rows[number:]:
        row["sequence_number"] += 1
    victim.seal_one(rows, number - 1)
    await victim.put("audit_events", rows)
    if number in victim.kept:
        return "tree", *victim.span(number)
    return "previous-hash", number + 1, number + 1


async def insert_a_number_twice(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    row = rows[number - 1]
    later = {**row, "id": "aud_forged", "occurred_at": row["occurred_at"] + timedelta(days=1)}
    await victim.put("audit_events", [*rows, later])
    return "order", number + 1, number + 1


async def swap(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    other = rng.choice([each for each in range(2, len(rows) + 1) if each != number])
    one, two = rows[number - 1], rows[other - 1]
    one["sequence_number"], two["sequence_number"] = other, number
    await victim.put("audit_events", rows)
    first = min(number, other)
    return "previous-hash", first, first


# --- everything sealed anew, with the real keys -------------------------------------------------


async def rewrite_a_row(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    rows[number - 1]["actor_id"] = rng.randbytes(6).hex()
    victim.seal(rows, number - 1)
    await victim.rewrite(rows)
    return "tree", *victim.span(number)


async def rewrite_without_a_row(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    del rows[number - 1]
    victim.seal(rows, number - 1)
    await victim.rewrite(rows)
    first, last = victim.span(number)
    return ("missing", len(rows) + 1, last) if last > len(rows) else ("tree", first, last)


async def rewrite_with_a_row_more(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    rows.insert(number - 1, {**rows[number - 1], "id": "aud_forged", "payload": "{}"})
    victim.seal(rows, number - 1)
    await victim.rewrite(rows)
    return "tree", *victim.span(number)


async def rewrite_in_another_order(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    for column in ("id", "event_type", "actor_id", "entity_id", "payload"):
        one, two = rows[number - 1], rows[number - 2]
        one[column], two[column] = two[column], one[column]
    victim.seal(rows, number - 2)
    await victim.rewrite(rows)
    return "tree", *victim.span(number - 1)


async def rewrite_rows_only(victim: Victim, number: int, rng: random.Random) -> Named:
    """Sealed anew, but tree and checkpoints of the database forgotten."""
    rows = victim.rows()
    rows[number - 1]["event_type"] = "forged.event"
    victim.seal(rows, number - 1)
    await victim.put("audit_events", rows)
    return "tree", *victim.span(number)


async def rewrite_back_dated(victim: Victim, number: int, rng: random.Random) -> Named:
    """Before the row before it, everything else fitting."""
    rows = victim.rows()
    earlier = rows[number - 2]["occurred_at"] - timedelta(minutes=rng.randint(1, 10**5))
    rows[number - 1]["occurred_at"] = earlier
    for place in range(number - 1, len(rows)):
        victim.seal_one(rows, place)
    await victim.rewrite(rows)
    return "time", number, number


async def rewrite_all_back_dated(victim: Victim, number: int, rng: random.Random) -> Named:
    """All rows up to this one earlier by the same time, so that none goes back."""
    rows = victim.rows()
    for row in rows[:number]:
        row["occurred_at"] -= timedelta(minutes=5)
    victim.seal(rows)
    await victim.rewrite(rows)
    return "tree", *victim.span(1)


# --- other workspaces and other keys ------------------------------------------------------------


async def splice(victim: Victim, number: int, rng: random.Random) -> Named:
    """A row of another workspace, its name changed, in the place of one of this."""
    rows = victim.rows()
    foreign = rng.choice(victim.stranger[1:])
    rows[number - 1] = {
        **foreign,
        "workspace_id": victim.workspace,
        "sequence_number": number,
    }
    await victim.put("audit_events", rows)
    return "previous-hash", number, number


async def splice_and_seal(victim: Victim, number: int, rng: random.Random) -> Named:
    rows = victim.rows()
    mine = rows[number - 1]
    rows[number - 1] = {
        **rng.choice(victim.stranger),
        "signing_key_id": mine["signing_key_id"],
        "occurred_at": mine["occurred_at"],
    }
    victim.seal(rows, number - 1)
    await victim.rewrite(rows)
    return "tree", *victim.span(number)


async def sign_after_revocation(victim: Victim, number: int, rng: random.Random) -> Named:
    """A row after the rotation, signed anew by the key that was revoked before it."""
    rows = victim.rows()
    old = next(key for key in victim.saved["audit_keys"] if key["revoked_at"])
    later = [row for row in rows if row["occurred_at"] > old["revoked_at"]]
    chosen = rng.choice([row["sequence_number"] for row in later])
    rows[chosen - 1]["signing_key_id"] = old["kid"]
    victim.seal_one(rows, chosen - 1)
    # Its content and hash stay what they were: only who signed it changes.
    await victim.put("audit_events", rows)
    return "revoked", chosen, chosen


async def bring_a_key_of_ones_own(victim: Victim, number: int, rng: random.Random) -> Named:
    """A key that is added to the workspace's, and everything from a row on signed with it."""
    rows = victim.rows()
    private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    victim.keys["audk_own"] = private
    for row in rows[number - 1 :]:
        row["signing_key_id"] = "audk_own"
    rows[number - 1]["actor_id"] = "somebody"
    victim.seal(rows, number - 1)
    await victim.rewrite(rows)
    del victim.keys["audk_own"]
    template = victim.saved["audit_keys"][0]
    own = {
        **template,
        "kid": "audk_own",
        "public_key": private.public_key().public_bytes_raw(),
        "revoked_at": rows[-1]["occurred_at"] + timedelta(days=1),
    }
    await victim.put("audit_keys", [*victim.saved["audit_keys"], own])
    # Whoever has kept the keys knows none of that name.
    return "key-unknown", number, number


TAMPERINGS: list[Tampering] = [
    edit_a_member,
    edit_a_payload,
    spoil_a_payload,
    back_date,
    edit_a_hash,
    edit_a_previous_hash,
    edit_a_signature,
    name_another_key,
    edit_and_hash,
    delete,
    delete_and_close_the_gap,
    delete_the_end,
    truncate,
    insert,
    insert_a_number_twice,
    swap,
    rewrite_a_row,
    rewrite_without_a_row,
    rewrite_with_a_row_more,
    rewrite_in_another_order,
    rewrite_rows_only,
    rewrite_back_dated,
    rewrite_all_back_dated,
    splice,
    splice_and_seal,
    sign_after_revocation,
    bring_a_key_of_ones_own,
]
