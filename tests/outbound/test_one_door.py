"""Nothing but the guarded client opens a connection to others."""

import ast

from settings import PROJECT

DOOR = "outbound/guarded_client.py"
SERVER = (
    "app.py", "settings.py", "auth", "contract", "domain", "handlers", "jobs", "outbound", "pages",
    "persistence", "services",
)  # fmt: skip

CLIENTS = {
    "aiohttp", "anyio", "asyncore", "curl_cffi", "ftplib", "grpc", "h11", "http.client", "httpcore",
    "httpx", "imaplib", "paramiko", "poplib", "pycurl", "requests", "smtplib", "socket", "ssl",
    "telnetlib", "trio", "urllib.request", "urllib3", "websockets", "xmlrpc", "niquests",
}  # fmt: skip
CALLS = {
    "open_connection", "create_connection", "open_unix_connection", "create_unix_connection",
    "create_datagram_endpoint", "sock_connect", "start_server", "__import__",
    "create_subprocess_exec", "create_subprocess_shell", "Popen", "system",
}  # fmt: skip
# The stores have clients of their own, and libraries that could ask others are told not to.
EXTRAS = ("authlib.integrations", "starlette.testclient")


def sources():
    for each in SERVER:
        path = PROJECT / each
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(node):
    """The dotted names that an import brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


HARMLESS = {("services/mcp_protocol.py", "anyio")}  # for an event that the SDK waits for


def opens(tree):
    """Every way in which a module could open a connection."""
    for node in ast.walk(tree):
        for name in imported(node):
            parts = name.split(".")
            if {".".join(parts[:n]) for n in (1, 2)} & CLIENTS or name.startswith(EXTRAS):
                yield name
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in CALLS:
                yield called


def test_only_the_guarded_client_opens_connections():
    found = {
        (str(path.relative_to(PROJECT)), name)
        for path in sources()
        for name in opens(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert {path for path, _ in found - HARMLESS} == {DOOR}, sorted(found)
    assert found >= HARMLESS


def test_the_sdk_that_can_ask_others_is_known_to_one_floor_alone():
    """It would open a client of its own where it is handed none."""
    found = {
        str(path.relative_to(PROJECT))
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported(node)
        if name.startswith(("a2a.client", "a2a.server", "a2a.compat.v0_3.jsonrpc"))
    }

    assert found == {"outbound/a2a_cards.py", "outbound/a2a_peer.py"}


def test_the_look_finds_what_it_looks_for():
    written = """
import httpx
from urllib import request
from urllib.parse import quote
import urllib.request as asking
asyncio.open_connection("a", 1)
from authlib.integrations.httpx_client import AsyncOAuth2Client
"""
    assert set(opens(ast.parse(written))) >= {
        "httpx",
        "urllib.request",
        "open_connection",
        "authlib.integrations.httpx_client",
    }
    assert "urllib.parse" not in set(opens(ast.parse(written)))
