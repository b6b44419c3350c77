"""What tests of live streams stand on."""

import asyncio
import socket

import pytest
import uvicorn


@pytest.fixture(scope="session")
async def address(application):
    """The application of the tests behind a real server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                application, lifespan="off", log_level="critical", timeout_graceful_shutdown=1
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving
