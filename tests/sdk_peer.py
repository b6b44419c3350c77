"""An agent made with the official SDK's server, on loopback."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import uvicorn
from a2a.client.card_resolver import parse_agent_card
from a2a.helpers.proto_helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Part,
    Task,
    TaskState,
    TaskStatus,
)
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Reviewer(AgentExecutor):
    """Does what the first word of the message says; keeps what it was asked, task by task."""

    def __init__(self):
        self.asked = []
        self.cancelled = []
        self.go_on = asyncio.Event()

    async def execute(self, context, queue):
        text = context.get_user_input()
        self.asked.append(context.message)
        if text == "answer":
            await queue.enqueue_event(new_text_message("At once", context_id=context.context_id))
            return
        await queue.enqueue_event(
            Task(
                id=context.task_id,
                context_id=context.context_id,
                status=TaskStatus(state=TaskState.TASK_STATE_SUBMITTED),
                history=[context.message],
            )
        )
        updater = TaskUpdater(queue, context.task_id, context.context_id)
        await updater.start_work()
        if text == "fail":
            await updater.failed(updater.new_agent_message([Part(text="No such branch")]))
            return
        if text == "reject":
            await updater.reject()
            return
        if text == "ask":
            await updater.requires_input(updater.new_agent_message([Part(text="Which branch?")]))
            return
        if text == "wait":
            await self.go_on.wait()
        await updater.add_artifact([Part(text="Two remarks")], name="review")
        await updater.complete()

    async def cancel(self, context, queue):
        self.cancelled.append(context.task_id)
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


class SdkPeer:
    """The server around a `Reviewer`. `before` may answer a request in the agent's place."""

    def __init__(self, generation):
        self.generation = generation
        self.reviewer = Reviewer()
        self.requests = []
        self.before = None
        self.after = None
        self.url = ""

    @property
    def host(self):
        return self.url.removeprefix("http://")

    def card(self):
        card = AgentCard(
            name="Code Reviewer",
            description="Reviews changes",
            version="1.0.0",
            supported_interfaces=[
                AgentInterface(
                    url=f"{self.url}/rpc", protocol_binding="JSONRPC", protocol_version=version
                )
                for version in ("1.0", "0.3")
            ],
            capabilities=AgentCapabilities(streaming=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            skills=[AgentSkill(id="review", name="Review", description="Reviews", tags=["qa"])],
        )
        shown = agent_card_to_dict(card)
        if self.generation == "0.3":
            del shown["supportedInterfaces"]
        return shown

    def application(self, card):
        self.handler = DefaultRequestHandler(self.reviewer, InMemoryTaskStore(), card)
        (rpc,) = create_jsonrpc_routes(self.handler, "/rpc", enable_v0_3_compat=True)

        async def show(request):
            return JSONResponse(self.card())

        async def call(request):
            asked = json.loads(await request.body())
            self.requests.append((asked["method"], request.headers.get("authorization")))
            if self.before is not None:
                instead = await self.before(asked)
                if isinstance(instead, Response):
                    return instead
            answer = await rpc.endpoint(request)
            if self.after is not None:
                await self.after(asked)
            return answer

        return Starlette(
            routes=[
                Route("/.well-known/agent-card.json", show),
                Route("/rpc", call, methods=["POST"]),
            ]
        )

    def methods(self):
        return [method for method, _ in self.requests]


@asynccontextmanager
async def sdk_peer(generation="1.0"):
    """A running peer; its card is that of the generation."""
    peer = SdkPeer(generation)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        peer.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(
                peer.application(parse_agent_card(peer.card())),
                lifespan="off",
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield peer
        peer.reviewer.go_on.set()
        await peer.handler.aclose()
        server.should_exit = True
        await serving
