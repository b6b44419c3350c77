"""Worker hosts: the machines that workers say they run on."""

from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.ids import new_id
from persistence.tables import worker_hosts


async def meet(
    db: AsyncConnection, org_id: str, registration_id: str, machine_id: str, hostname: str
) -> str:
    """The id of the host that a registering worker runs on, made when it is new.

    A machine that registers anew has been set up anew: what was wrong with the host is over.
    """
    row = upsert(worker_hosts).values(
        org_id=org_id,
        id=new_id("host"),
        registration_id=registration_id,
        machine_id=machine_id,
        hostname=hostname,
    )
    made = await db.execute(
        row.on_conflict_do_update(
            index_elements=["registration_id", "machine_id"],
            set_={
                "hostname": hostname,
                "status": "ok",
                "recommended_action": None,
                "candidate_pool_ids": [],
                "registered_at": func.now(),
            },
        ).returning(worker_hosts.c.id)
    )
    return str(made.scalar_one())


async def find(db: AsyncConnection, org_id: str, id_or_machine: str) -> Row[Any] | None:
    """A host by its id, or by the machine id it registered with; None when there is none.

    A machine of several registrations is the one that registered last.
    """
    named = or_(worker_hosts.c.id == id_or_machine, worker_hosts.c.machine_id == id_or_machine)
    return (
        await db.execute(
            select(worker_hosts)
            .where(worker_hosts.c.org_id == org_id, named)
            .order_by(worker_hosts.c.id != id_or_machine, worker_hosts.c.registered_at.desc())
            .limit(1)
        )
    ).one_or_none()
