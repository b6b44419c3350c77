"""Where the kernel does not tell children of their parent's death, the watchdog does."""

import os
import signal
import subprocess
import sys

from tests.supervisor.servers import eventually

PARENT = """
import signal, subprocess, time
from supervisor import watchdog

watchdog.start()
children = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
for child in children:
    watchdog.watch(child.pid, signal.SIGTERM)
watchdog.forget(children[0].pid)
print(*(child.pid for child in children), flush=True)
time.sleep(60)
"""


def running(pid: int) -> bool:
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()[:1] not in ("", "Z")


def test_it_ends_the_children_of_a_parent_that_was_killed_and_no_others() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    forgotten, watched = map(int, parent.stdout.readline().split())

    parent.kill()
    parent.wait()
    parent.stdout.close()

    try:
        assert eventually(lambda: not running(watched))
        assert running(forgotten)
    finally:
        os.kill(forgotten, signal.SIGKILL)
