"""The queue: a session's row is its entry, and `claim_sessions` in the schema takes from it."""

from collections.abc import Sequence
from typing import Any, Final

from persistence import database

MOST_PER_POLL: Final = 5

# Beside each row stands what the project says of its repositories, and with which connection they
# are reached: the one that the project names, or else the organization's oldest. `polled_at` is the
# instant of the claims made now; the usual row, of an empty poll, holds nulls, which cost nothing
# to read. `has_batch` looks into the other lanes, so that a poll for which they hold nothing asks
# once.
CLAIM: Final = """
select c.*, r.*, case when c.session_id is not null then now() end as polled_at,
       nullif(w.capabilities, '{}') as capabilities,
       w.status <> 'draining' and w.retired_at is null and exists (
         select 1 from batch_jobs b
          where b.org_id = w.org_id and b.project_id = w.project_id and b.status = 'waiting'
            and b.work_type = any (w.capabilities)) as has_batch,
       p.repository as project_repository, p.default_branch, p.other_repositories,
       g.id as git_connection_id, g.version as git_version,
       g.id is not null and exists (
         select 1 from sessions h where h.slot_worker_id = %(worker)s and h.status <> 'stopped')
         as holds_work
  from claim_sessions(%(org)s, %(worker)s, %(registration)s, %(most)s, %(lease)s) c
  left join workers w on w.id = %(worker)s
  left join lateral recovery_for(%(org)s, c.session_id) r on true
  left join projects p on p.org_id = %(org)s and p.id = c.own_project_id
  left join lateral (
    select n.id, n.version from connections n
     where p.repository is not null and n.org_id = p.org_id and n.provider = 'github'
       and (p.github_connection_id is null or n.id = p.github_connection_id)
     order by n.created_at, n.id limit 1) g on true
"""


async def claim(
    org_id: str, worker_id: str, registration_id: str, lease_seconds: float
) -> Sequence[Any]:
    """Give the worker the next sessions it has room for, at most five.

    No row means no such living worker; one row without a `session_id`, nothing for it now. Every
    row says in `has_inbox` whether messages are due, in `has_batch` whether a batch job waits in a
    lane that the worker serves, and in `holds_work` whether the worker held something before, where
    a connection reaches the project's repositories. One round trip. Polls of one worker wait for
    each other, so together they never exceed its capacity; polls of several skip the rows the
    others hold, so no session goes out twice. Each claim's audit event shares its transaction.
    """
    return await database.hot(
        CLAIM,
        {
            "org": org_id,
            "worker": worker_id,
            "registration": registration_id,
            "most": MOST_PER_POLL,
            "lease": lease_seconds,
        },
    )
