"""A whole server whose parts of its own are stand-ins: what the tests start and end."""

import sys

from settings import PROJECT
from supervisor.__main__ import main
from supervisor.plan import SERVER, Plan

HERE = "tests.supervisor.stand_ins"
PLAN = Plan(
    prepare=(sys.executable, "-m", f"{HERE}.prepare"),
    web=(*SERVER.web[:-1], f"{HERE}.web:create_app()"),
    jobs=(sys.executable, "-m", f"{HERE}.jobs"),
    folder=PROJECT,
)

if __name__ == "__main__":
    sys.exit(main(PLAN))
