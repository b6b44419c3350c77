"""Typed clients made from the contract: `python -m scripts.clients` writes `build/clients/`.

- `python/`: the package `rensei_client`, by openapi-python-client
- `typescript/`: types by openapi-typescript, and `createClient` of openapi-fetch over them

They are built and never committed. The TypeScript one needs what `node/package-lock.json` names.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from contract import load
from contract.loading import METHODS
from contract.references import resolved
from settings import PROJECT

CONTRACT: Final = PROJECT / "openapi" / "rensei-api.yaml"
TARGET: Final = PROJECT / "build" / "clients"
BIN: Final = Path(sys.executable).parent
MODULES: Final = PROJECT / "node" / "node_modules"

_JSON: Final = "application/json"

_PYTHON: Final = {
    "project_name_override": "rensei-client",
    "package_name_override": "rensei_client",
    # A file is a file, however it is packed.
    "content_type_overrides": {"application/gzip": "application/octet-stream"},
    "post_hooks": [
        "ruff check . --fix --quiet --no-cache --select F401,F811,I",
        "ruff format . --quiet --no-cache",
    ],
}

_INDEX: Final = """\
import createFetchClient, { type Client, type ClientOptions } from "openapi-fetch";
import type { paths } from "./schema.ts";

export type { components, operations, paths } from "./schema.ts";

/** A client of the whole API: `createClient({ baseUrl, headers: { Authorization: ... } })`. */
export const createClient = (options: ClientOptions): Client<paths> =>
  createFetchClient<paths>(options);
"""


def for_clients(spec: dict[str, Any]) -> dict[str, Any]:
    """The contract as generators of clients need it; what they make of it stays true.

    - Where a body may be sent as JSON, that is how. With two ways to send one body, the Python
      generator makes a module that cannot be imported.
    - That one of several members must be there is not told. The Python generator would take the
      object for anything at all.
    """
    changed = copy.deepcopy(spec)
    for item in changed["paths"].values():
        for method in item.keys() & METHODS:
            body = item[method].get("requestBody")
            if body is not None and _JSON in (content := resolved(changed, body)["content"]):
                for other in content.keys() - {_JSON}:
                    del content[other]
    for schema in changed["components"]["schemas"].values():
        if all(each.keys() == {"required"} for each in schema.get("anyOf", ())):
            schema.pop("anyOf", None)
    return changed


def build(target: Path = TARGET) -> None:
    """Write both clients anew into `target`; raises CalledProcessError when a generator stops."""
    shutil.rmtree(target, ignore_errors=True)
    spec = for_clients(load(CONTRACT).spec)
    with tempfile.TemporaryDirectory(prefix="rensei-clients-") as folder:
        contract = Path(folder, "contract.json")
        contract.write_text(json.dumps(spec, default=str), encoding="utf-8")
        _python(contract, target / "python")
        _typescript(contract, target / "typescript", spec["info"]["version"])


def _python(contract: Path, target: Path) -> None:
    settings = contract.with_name("settings.json")
    settings.write_text(json.dumps(_PYTHON), encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    _run(
        str(BIN / "openapi-python-client"),
        "generate",
        "--fail-on-warning",
        "--meta=uv",
        f"--path={contract}",
        f"--output-path={target}",
        f"--config={settings}",
    )


def _typescript(contract: Path, target: Path, version: str) -> None:
    target.mkdir(parents=True)
    package = {
        "name": "rensei-client",
        "version": version,
        "type": "module",
        "exports": "./index.ts",
        "dependencies": {"openapi-fetch": _version("openapi-fetch")},
    }
    (target / "package.json").write_text(json.dumps(package, indent=2) + "\n", encoding="utf-8")
    (target / "index.ts").write_text(_INDEX, encoding="utf-8")
    # As npm would lay it out, so that the client can be tried where it lies.
    for needed in ("openapi-fetch", "openapi-typescript-helpers"):
        shutil.copytree(MODULES / needed, target / "node_modules" / needed)
    generator = MODULES / "openapi-typescript" / "bin" / "cli.js"
    _run(
        str(BIN / "node"),
        str(generator),
        str(contract),
        f"--output={target / 'schema.ts'}",
        # What has a default need not be sent.
        "--default-non-nullable=false",
    )


def _version(package: str) -> str:
    described = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))
    return f"^{described['version']}"


def _run(*command: str) -> None:
    # The generator calls the formatter by its name.
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    made = subprocess.run(  # noqa: S603 - no shell
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        print(made.stdout, made.stderr, sep="\n", file=sys.stderr)
        made.check_returncode()


if __name__ == "__main__":
    build()
    print(f"Clients are in {TARGET.relative_to(PROJECT)}/python and /typescript")
