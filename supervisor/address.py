"""The server's address: whether it is free, and whether the server answers there."""

import errno
import http.client
import json
import socket
import time
from typing import Final

from supervisor.errors import PortTaken, StartError, WrongSettings
from supervisor.processes import Pause

HEALTH: Final = "/api/health"
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Addresses that mean all of this machine's, and one of them to reach it by."""


def check_free(host: str, port: int, *, patience_seconds: float, pause: Pause) -> None:
    """Refuse when another program listens there, after so much patience with one that leaves."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            _try(host, port)
            return
        except PortTaken:
            if time.monotonic() > deadline:
                raise
            pause(0.1)


def local_url(host: str, port: int) -> str:
    """Where this machine itself reaches the server."""
    near = EVERYWHERE.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def health(host: str, port: int) -> str:
    """What the server says of its health: `200`, another status, or why there is none."""
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=2)
    try:
        connection.request("GET", HEALTH)
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def says_down(host: str, port: int) -> set[str]:
    """What the server's health calls down: its parts that are away and that it serves without."""
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=5)
    try:
        connection.request("GET", HEALTH)
        told = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return set()
    finally:
        connection.close()
    return {name for name, state in told.items() if state == "down"}


def _try(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        # Connections that are merely fading do not count, as they do not for gunicorn.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
            tried.listen(1)
        except socket.gaierror as error:
            raise WrongSettings(f"RENSEI_HOST={host} is no known address: {error}.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"Port {port} of {host} is taken by another program. "
                    "Stop that one, or set RENSEI_PORT to a free port."
                ) from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise WrongSettings(f"RENSEI_HOST={host} is no address of this machine.") from error
            raise StartError(
                f"Port {port} of {host} cannot be used: {error}. Set RENSEI_PORT to another."
            ) from error
