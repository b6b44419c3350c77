"""Nothing unexpected breaks it: Schemathesis over all operations, on a real socket.

`FUZZ_EXAMPLES` says how many requests are made up per operation and phase; `make fuzz` makes it
thousands. What is excused from which check, and why, stands in `schemathesis.toml`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any, Final

import pytest

from settings import PROJECT
from tests.contract.live import live_server, seed
from tests.contract.operations import OPERATIONS

FUZZ_EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "3"))
LONG_EXAMPLES: Final = max(1, int(150 * float(os.environ.get("PROVE_SHARE") or 1)))
WAITING: Final = 100
"""Sessions in the queue, so that polls have something to answer."""


SHORT: Final = pytest.param(FUZZ_EXAMPLES, 3, id="short")
LONG: Final = pytest.param(LONG_EXAMPLES, 4, id="long", marks=pytest.mark.prove)


@pytest.mark.parametrize(
    ("examples", "seed_of_the_run"),
    # A part of the long run that is no longer than the short one would say nothing new.
    [SHORT, LONG]
    if "FUZZ_EXAMPLES" not in os.environ and LONG_EXAMPLES > FUZZ_EXAMPLES
    else [SHORT],
)
def test_whatever_is_sent_every_answer_is_the_contracts(
    examples, seed_of_the_run, tmp_path, capsys
):
    with live_server(tmp_path / "server") as live:
        variables = seed(live, waiting=WAITING)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", "openapi/rensei-api.yaml"),
                *("--url", live.base_url, "--max-examples", str(examples), "--no-color"),
                *("--seed", str(seed_of_the_run)),
                *("--report", "json", "--report-json-path", str(tmp_path / "report.json")),
            ],
            cwd=PROJECT,
            env={
                **variables,
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(PROJECT),
                "SCHEMATHESIS_HOOKS": "tests.contract.fuzz_hooks",
                "RENSEI_BASE_URL": live.base_url,
                "RENSEI_FUZZ_TALLY": str(tmp_path / "tally.json"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        complaints = live.complaints()

    assert (tmp_path / "report.json").exists(), done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    tally = json.loads((tmp_path / "tally.json").read_text())
    with capsys.disabled():
        print("\n" + told(report, tally))
    assert report["failures"] == [], done.stdout
    assert report["errors"] == [], done.stdout
    assert report["operations"]["tested"] == len(OPERATIONS), done.stdout
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}, done.stdout
    assert complaints == []
    # Whoever is always refused has tested the refusal only.
    assert [o.id for o in OPERATIONS if not _successes(tally, o.id)] == []


def told(report: dict[str, Any], tally: dict[str, int]) -> str:
    """The run in one line."""
    statuses = Counter[str]()
    for name, count in tally.items():
        statuses[name.split()[1]] += count
    by_status = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return (
        f"schemathesis: {report['operations']['tested']} operations, "
        f"{report['test_cases']['generated']} cases, "
        f"{report['test_cases']['unique_failures']} failures "
        f"in {report['running_time']:.0f} s; answers: {by_status}"
    )


def _successes(tally: dict[str, int], operation_id: str) -> int:
    return sum(count for name, count in tally.items() if name.startswith(f"{operation_id} 2"))
