"""`python -m supervisor.prepare`: brings the database up to date, then ends.

A process of its own, so that the supervisor stays small for as long as it runs, and
can stop a migration that waits for a lock.
"""

import os

from supervisor.environment import DATABASE, DEMO_ORG_KEYS, DEMO_WORKER_KEY


def main() -> None:
    """Migrate as the owner; make the demo rows when keys for them were handed over."""
    owner_url = os.environ[DATABASE]
    from persistence import migrations

    migrations.upgrade(owner_url)
    if DEMO_WORKER_KEY in os.environ:
        from persistence import demo

        demo.seed(owner_url, os.environ[DEMO_ORG_KEYS].split(), os.environ[DEMO_WORKER_KEY])


if __name__ == "__main__":
    main()
