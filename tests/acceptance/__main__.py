"""`make wire`: the wire log of one whole session of the open-source worker, beside its table.

A server of its own is started, the worker of the acceptance test works on one session that hears a
word, and everything it sent and was answered is printed in order, secrets masked.
"""

import asyncio
import json
import re
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.servers import Server
from bench.tenants import Tenant
from tests.acceptance.scenario import SERVER, Scenario
from tests.acceptance.table import LINES
from tests.acceptance.wire import Exchange, Journal
from tests.acceptance.worker import WAIT_FOR_A_WORD

SECRET: Final = re.compile(r"\b(rsk_\w{2,8}_|rsp_\w{2,8}_|ey[\w-]{4})[\w.-]{12,}")
SECRET_NAMES: Final = frozenset({"runtimeToken", "mcpAuthToken"})
WIDTH: Final = 118
QUIET: Final = frozenset({"3", "4", "13"})
"""Lines that repeat as long as there is nothing new."""


def masked(value: Any) -> Any:
    """The value without anything that would let its reader in."""
    match value:
        case dict():
            return {
                name: "***" if name in SECRET_NAMES and each else masked(each)
                for name, each in value.items()
            }
        case list():
            return [masked(each) for each in value]
        case str():
            return SECRET.sub(r"\1***", value)
    return value


def _json(value: Any) -> str:
    return json.dumps(masked(value), ensure_ascii=False)


def log(journal: Journal) -> list[str]:
    """The lines of the log, in the order of the answers."""
    lines: list[str] = []
    before: Exchange | None = None
    repeated = 0
    for each in journal.exchanges:
        same = before is not None and each.line in QUIET and (
            (each.line, each.status) == (before.line, before.status)
        )  # fmt: skip
        if same and not each.said.get("work") and not each.said.get("hasInboxMessages"):
            repeated += 1
            continue
        if repeated:
            lines += [f"      ... and {repeated} more like it", ""]
            repeated = 0
        before = each
        lines.append(f"[{each.line:>5}]  {LINES[each.line].words}")
        lines.append(f"   {'>' if each.line != 'steer' else '*'}  {each.method} {each.path}")
        if each.sent is not None:
            lines.append(f"   >  {_json(each.sent)}")
        lines += [f"   <  {each.status}  {_json(each.said)}", ""]
    return lines


async def one_session(server: Server) -> Journal:
    """The journal of a worker that registers, works on one session and leaves."""
    tenant = await Tenant.make(server.port, f"wire-{secrets.token_hex(4)}")
    played = Scenario(server, tenant, runtime=(False,), pace=0.1)
    session_id = await played.queue(WAIT_FOR_A_WORD, work_type="development")
    worker = await played.hire("the worker", capacity=1)
    await played.at_work([session_id])
    await played.tell(session_id)
    await played.until(lambda: bool(worker.ended) and not worker.runs)
    await worker.leave()
    return played.journal


def main() -> None:
    """Start a server, let one session happen, print it."""
    with (
        tempfile.TemporaryDirectory(prefix="rensei-wire-", ignore_cleanup_errors=True) as folder,
        Server(Path(folder), **SERVER) as server,
    ):
        journal = asyncio.run(one_session(server))
    for line in log(journal):
        sys.stdout.write(line + "\n")
    unspoken = sorted(set(LINES) - {each.line for each in journal.exchanges})
    sys.stdout.write(f"Not spoken in this session: {', '.join(unspoken)}\n")


if __name__ == "__main__":
    main()
