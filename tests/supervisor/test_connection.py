"""Clients that send too much, or never end: each holds its connection for a while and no longer."""

import asyncio
import json
import socket

import pytest
import uvicorn

from supervisor.connection import Connection

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"


class Impatient(Connection):
    """Waits for less than a second."""

    patience_seconds = 0.3


async def echo(scope, receive, send):
    """Answers with how much the body was, as soon as it is whole; on `/early` at once."""
    count = 0
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count += len(message["body"])
        if not message.get("more_body"):
            break
    said = b"%d" % count
    if scope["path"] == "/much":
        said = bytes(16 * 1024 * 1024)
    headers = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture(scope="module")
async def port():
    """Where it is served."""
    with socket.socket() as ear:
        ear.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            echo, http=Impatient, lifespan="off", log_level="critical", timeout_keep_alive=60
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[ear]))
        yield ear.getsockname()[1]
        server.should_exit = True
        await serving


async def told(port, parts, pause=0.0, within=3.0):
    """All that the server says until it hangs up, and after how many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    clock = asyncio.get_running_loop().time
    begun = clock()

    async def push():
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
        except OSError:
            return

    pushing = asyncio.create_task(push())
    try:
        async with asyncio.timeout(within):
            said = await reader.read()
    except ConnectionError:
        said = b""
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        writer.close()
    return said, clock() - begun


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"\r\n"] * 40,
        [b"P"],
        [HEAD, *[b"X: y\r\n"] * 40],
        [HEAD + b"Content-Length: 100\r\n\r\n", *[b"x"] * 40],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 40],
        [HEAD.replace(b"/x", b"/early") + b"Content-Length: 100\r\n\r\n", *[b"x"] * 40],
        [HEAD + b"Content-Length: 1\r\n\r\nx", b"", b"", *[b"GET"] * 40],
    ],
    ids=["silent", "blank", "letter", "head", "body", "chunks", "after-the-answer", "second"],
)
async def test_who_never_ends_a_request_is_cut_off(port, parts):
    said, seconds = await told(port, parts, pause=0.05)

    assert 0.2 < seconds < 1.5
    assert said.count(b"HTTP/1.1 ") <= 2


async def test_who_is_cut_off_is_told_why(port):
    said, _ = await told(port, [HEAD])

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body) == {"error": "The request did not come in time"}


FLOOD = b"x" * 65536


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;",
        HEAD + b"Content-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nX: ",
    ],
    ids=["path", "header", "trailer", "chunk", "second"],
)
async def test_who_never_ends_a_line_is_cut_off_soon(port, begin):
    taken = 0

    def parts():
        nonlocal taken
        yield begin
        for _ in range(500):
            taken += len(FLOOD)
            yield FLOOD

    said, _ = await told(port, parts())

    assert taken < 16 * 1024 * 1024
    assert said == b"" or b"HTTP/1.1 431 " in said


async def taken_of_much(port, before, between):
    """How many bytes of a long answer arrive at a client that takes it so slowly."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    taken = 0
    try:
        await asyncio.sleep(before)
        while part := await reader.read(65536):
            taken += len(part)
            await asyncio.sleep(between)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return taken


async def test_who_takes_nothing_of_an_answer_is_cut_off(port):
    assert await taken_of_much(port, 1.5, 0) < 16 * 1024 * 1024


async def test_who_takes_an_answer_slowly_is_given_all_of_it(port):
    assert await taken_of_much(port, 0, 0.0005) > 16 * 1024 * 1024


async def test_a_body_that_comes_along_is_waited_for(port):
    parts = [b"y" * 2000] * 30
    head = HEAD + b"Connection: close\r\nContent-Length: 60000\r\n\r\n"

    said, seconds = await told(port, [head, *parts], pause=0.05)

    assert said.endswith(b"60000")
    assert seconds > 1


async def test_a_body_in_the_smallest_chunks_is_taken(port):
    chunks = b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

    said, _ = await told(port, [head, chunks])

    assert said.endswith(b"100000")


async def test_between_requests_the_connection_stays(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(HEAD + b"Content-Length: 1\r\n\r\nx")
        assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.5)
    writer.close()
