"""The service's own pulse: since when heartbeats could be stored without a gap."""

from typing import Final

from persistence import database

BEAT: Final = """
insert into service_pulse as p (one) values (true)
on conflict (one) do update set
  alive_since = case
    when p.last_pulse_at < now() - make_interval(secs => %(gap)s) then now()
    else p.alive_since end,
  last_pulse_at = now()
returning p.alive_since
"""


async def beat(gap_seconds: float) -> None:
    """Say that this web process can store heartbeats now. A gap starts the count anew."""
    await database.hot(BEAT, {"gap": gap_seconds})
