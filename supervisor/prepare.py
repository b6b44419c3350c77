"""`python -m supervisor.prepare`: brings the database up to date, then ends.

A process of its own, so that the supervisor stays small for as long as it runs, and
can stop a migration that waits for a lock.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Final

import psycopg

from supervisor.environment import DATABASE, DEMO_ORG_KEYS, DEMO_WORKER_KEY

PAUSE_SECONDS: Final = 0.5


def main() -> None:
    """Migrate as the owner and bring what is sealed under the present master key; make the demo
    rows when keys for them were handed over."""
    owner_url = os.environ[DATABASE]
    from persistence import migrations
    from settings import Settings
    from supervisor import rewrap

    given = Settings.from_environment()
    try:
        when_there(lambda: migrations.upgrade(owner_url, vectors=given.embedder is not None))
    except psycopg.OperationalError as error:
        sys.exit(f"The database does not let the server in: {reason(error)}. Correct {DATABASE}.")
    except migrations.UnknownSchema as error:
        sys.exit(str(error))
    rewrap.rewrap(owner_url, given)
    rewrap.warn_of_wrong_key(owner_url, given)
    if DEMO_WORKER_KEY in os.environ:
        from persistence import demo

        demo.seed(owner_url, os.environ[DEMO_ORG_KEYS].split(), os.environ[DEMO_WORKER_KEY])


def when_there(step: Callable[[], None]) -> None:
    """Do it once the database answers: one that starts beside the server is waited for.

    A wrong password or a missing database is an answer, and stops the start.
    """
    told = ""
    while True:
        try:
            step()
        except psycopg.OperationalError as error:
            if not is_coming(error):
                raise
            # The reason may change while it comes: first nobody listens, then it recovers.
            if (why := reason(error)) != told:
                print(f"Waiting for the database of {DATABASE}: {why}", flush=True)
                told = why
            time.sleep(PAUSE_SECONDS)
        else:
            return


def reason(error: psycopg.OperationalError) -> str:
    """What libpq says in its first line: the host, the port and what went wrong there."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def is_coming(error: psycopg.OperationalError) -> bool:
    """Whether nobody listens yet, or PostgreSQL itself says that it is only starting."""
    if error.sqlstate is not None:
        return error.sqlstate == "57P03" or error.sqlstate.startswith("08")
    # The server's own refusals of a connection carry no code here, but say FATAL. What it says
    # of itself (starting up, in recovery, shutting down) passes; a wrong password does not.
    return "FATAL" not in str(error) or "the database system is " in str(error)


if __name__ == "__main__":
    main()
