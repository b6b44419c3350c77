"""The conformance suite of the Model Context Protocol, from npm, against this server.

The suite knows no credentials and calls tools of its own: a thin layer before the server adds the
first to each request, and a provider the second. All else is what production serves.
"""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from domain.errors import Conflict
from services.tools import offering
from services.tools.tool import Always, Tool, takes
from tests.mcp_client import Agent
from tests.streams import on_a_socket

pytestmark = pytest.mark.conformance

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
RUNNER = HERE / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

SCENARIOS = [
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-error",
    "json-schema-2020-12",
    "dns-rebinding-protection",
]

NO_OTHER = "the server offers tools alone, and says so in its capabilities"
NO_STREAM = "answers are JSON; nothing is sent before or beside the answer"
JSON_ONLY = "tools answer JSON, as text and structured"
LEFT_OUT = {
    "logging-set-level": NO_OTHER,
    "completion-complete": NO_OTHER,
    "resources-list": NO_OTHER,
    "resources-read-text": NO_OTHER,
    "resources-read-binary": NO_OTHER,
    "resources-templates-read": NO_OTHER,
    "resources-subscribe": NO_OTHER,
    "resources-unsubscribe": NO_OTHER,
    "prompts-list": NO_OTHER,
    "prompts-get-simple": NO_OTHER,
    "prompts-get-with-args": NO_OTHER,
    "prompts-get-embedded-resource": NO_OTHER,
    "prompts-get-with-image": NO_OTHER,
    "tools-call-image": JSON_ONLY,
    "tools-call-audio": JSON_ONLY,
    "tools-call-embedded-resource": JSON_ONLY,
    "tools-call-mixed-content": JSON_ONLY,
    "tools-call-with-logging": NO_STREAM,
    "tools-call-with-progress": NO_STREAM,
    "tools-call-sampling": NO_STREAM,
    "tools-call-elicitation": NO_STREAM,
    "elicitation-sep1034-defaults": NO_STREAM,
    "elicitation-sep1330-enums": NO_STREAM,
    "server-sse-polling": NO_STREAM,
    "server-sse-multiple-streams": NO_STREAM,
}


async def _text(agent, arguments):
    return {"text": "This is a simple text response for testing."}


async def _error(agent, arguments):
    raise Conflict("This tool intentionally returns an error for testing")


def _tool(name, act, schema):
    return Tool(
        name=name, title=name, description="Of the suite", takes=schema, gives=None, act=act
    )


OF_THE_SUITE = Always(
    [
        _tool("test_simple_text", _text, takes()),
        _tool("test_error_handling", _error, takes()),
        _tool(
            "json_schema_2020_12_tool",
            _text,
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "$defs": {
                    "address": {
                        "type": "object",
                        "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
                    }
                },
                "properties": {
                    "name": {"type": "string"},
                    "address": {"$ref": "#/$defs/address"},
                },
                "additionalProperties": False,
            },
        ),
    ]
)


@asynccontextmanager
async def with_credential(application, agent):
    """The server on a socket, at `/mcp`, with the agent's token put to each request."""

    async def credited(scope, receive, send):
        if scope["type"] == "http":
            path = f"/api/mcp/{agent.id}"
            token = (b"authorization", f"Bearer {agent.token}".encode())
            headers = [*scope["headers"], token]
            scope = {**scope, "path": path, "raw_path": path.encode(), "headers": headers}
        await application(scope, receive, send)

    async with on_a_socket(credited) as url:
        yield f"{url}/mcp"


async def run(*arguments, cwd):
    """The runner's answer, and whether it is content."""
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(RUNNER), *arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "NO_COLOR": "1"},
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_server_passes(scenario, make, application, monkeypatch, tmp_path):
    monkeypatch.setattr(offering, "PROVIDERS", [*offering.PROVIDERS, OF_THE_SUITE])
    agent = await Agent.begin(make)

    async with with_credential(application, agent) as url:
        code, said = await run(
            "server", "--url", url, "--scenario", scenario, "-o", str(tmp_path), cwd=tmp_path
        )

    (results,) = tmp_path.rglob("checks.json")
    checks = json.loads(results.read_text())
    assert code == 0, said
    assert checks
    assert {check["status"] for check in checks} <= {"SUCCESS", "INFO"}, said


async def test_every_scenario_is_run_or_left_out_with_a_reason(tmp_path):
    _, said = await run("list", cwd=tmp_path)

    server, _, _ = said.partition("Client scenarios")
    known = {line.split()[1] for line in server.splitlines() if line.startswith("  - ")}
    assert known == {*SCENARIOS, *LEFT_OUT}
