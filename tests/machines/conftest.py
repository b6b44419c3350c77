"""The door that the machines go through."""

import asyncio

import pytest

from tests.machines.front_door import FrontDoor


@pytest.fixture
async def door(make, run_job):
    return FrontDoor(asyncio.get_running_loop(), make, run_job)
