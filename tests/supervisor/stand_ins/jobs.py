"""Stands in for the job process."""

import os
import signal
import sys
import time

from tests.supervisor.stand_ins import stores_at_hand
from tests.supervisor.stand_ins.journal import note


def leave(number: int, frame: object) -> None:
    note(f"jobs left {stores_at_hand.answer('RENSEI_JOBS_DATABASE_URL')}")
    sys.exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("JOBS_STUBBORN") else leave)
note(f"jobs began {os.getpid()} {sorted(name for name in os.environ if 'DATABASE' in name)}")
while True:
    time.sleep(60)
