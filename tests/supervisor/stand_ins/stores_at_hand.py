"""Whether both stores answer, seen from a child."""

import os
import socket
from urllib.parse import unquote, urlsplit

import psycopg


def answer(url_name: str) -> str:
    """`both` when PostgreSQL and Valkey answer, otherwise which fails."""
    try:
        with psycopg.connect(os.environ[url_name]) as db:
            db.execute("select count(*) from starts")
    except psycopg.Error as error:
        return f"no PostgreSQL: {error}"
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(unquote(urlsplit(os.environ["REDIS_URL"]).path))
            client.sendall(b"PING\r\n")
            return "both" if client.recv(16).startswith(b"+PONG") else "no Valkey"
        except OSError as error:
            return f"no Valkey: {error}"
