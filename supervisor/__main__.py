"""`python -m supervisor`: one whole server, until somebody stops it."""

import os
import sys
from contextlib import suppress

from settings import Settings, SettingsError, likely_misspelt
from supervisor.bell import Bell
from supervisor.errors import StartError, WrongSettings
from supervisor.plan import SERVER, Plan
from supervisor.supervision import Supervisor


def tell(text: str) -> None:
    """Say it at the terminal, which may have been closed meanwhile."""
    with suppress(OSError, ValueError):
        print(text, flush=True)


def main(plan: Plan = SERVER) -> int:
    """Run a server; the exit code is 0 after a stop that somebody asked for.

    2 means wrong settings, 3 a state folder in use, 4 a port taken, 1 anything else.
    """
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        tell(f"rensei: {error}")
        return WrongSettings.exit_code
    for name, meant in likely_misspelt(os.environ):
        tell(f"rensei: {name} is no setting and changes nothing; did you mean {meant}?")
    with Bell() as bell:
        try:
            Supervisor(settings, plan, bell, tell).run()
        except StartError as error:
            tell(f"rensei: {error}")
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
