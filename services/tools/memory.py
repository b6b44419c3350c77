"""What agents know of a project, kept from one session to the next."""

import asyncio
from typing import Final

from domain.errors import Conflict
from domain.ids import new_id
from domain.memory import content_hash, says_the_same
from domain.times import iso
from persistence import audit, database, memory
from persistence.memory import Note, Question
from services import embedding
from services.tools.tool import Agent, Always, Json, Tool, gives, takes

MOST_NOTES: Final = 500
"""Of one session; what it says again does not count."""

# Those who wait for their turn each hold a connection; the others of the process need some too.
_writing = asyncio.Semaphore(3)

PROJECT: Final = "project"
SESSION: Final = "session"


async def _remember(agent: Agent, arguments: Json) -> Json:
    content = arguments["content"].strip()
    embedded = await embedding.embed(content)
    note = Note(
        agent.org_id,
        agent.project_id,
        agent.session_id,
        _stored_scope(agent, arguments.get("scope") or PROJECT),
        content,
        content_hash(content),
        sorted(set(arguments.get("tags", ()))),
        *(embedded or ()),
    )
    async with _writing, database.transaction() as db:
        await memory.take_turn(db, note)
        same = [
            row
            for row in await memory.alike(db, note)
            if content_hash(row.content) == note.content_hash or says_the_same(row.content, content)
        ]
        if same:
            note_id = same[0].id
            await memory.say_again(db, note, note_id)
        else:
            if await memory.count_of(db, agent.org_id, agent.session_id) >= MOST_NOTES:
                raise Conflict(f"A session may remember {MOST_NOTES} notes and this one has")
            note_id = new_id("mem")
            await memory.add(db, note, note_id)
        await audit.append(
            db,
            agent.org_id,
            agent.user,
            "memory.renewed" if same else "memory.remembered",
            ("memory", note_id),
            {"sessionId": agent.session_id, "contentHash": note.content_hash.hex()},
        )
    return {"stored": True, "id": note_id, "content": content, "wasKnown": bool(same)}


async def _recall(agent: Agent, arguments: Json) -> Json:
    query = arguments["query"].strip()
    scope = arguments.get("scope")
    embedded = await embedding.embed(query)
    rows = await memory.recall(
        Question(
            agent.org_id,
            agent.project_id,
            agent.session_id,
            query,
            arguments.get("tags") or None,
            _stored_scope(agent, scope) if scope else None,
            arguments.get("max_results", 10),
        ),
        *(embedded or (None, None)),
    )
    return {
        "results": [
            {
                "id": row.id,
                "content": row.content,
                "score": round(row.score, 4),
                "source": row.source,
                "type": "pattern_discovered",
                "tags": row.tags,
                "scope": SESSION if row.scope.startswith(f"{SESSION}/") else row.scope,
                "sessionId": row.session_id,
                "timestamp": iso(row.remembered_at),
            }
            for row in rows
        ],
        "total": rows[0].total if rows else 0,
    }


def _stored_scope(agent: Agent, scope: str) -> str:
    return f"{SESSION}/{agent.session_id}" if scope == SESSION else scope


_TAGS: Final[Json] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 100},
    "maxItems": 20,
}
_SCOPE: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    # A slash is how the server tells the notes of one session.
    "pattern": r"^(?!session/)\S(.*\S)?$",
}

TOOLS: Final = (
    Tool(
        name="af_memory_remember",
        title="Remember a note",
        description="Keep something that whoever works on this project next should know: how to "
        "build and test it, where things are, what was decided and why, what does not work. One "
        "fact a note, in a full sentence with the names that one would search for. Saying the same "
        "again renews the note. Never put secrets into it.",
        takes=takes(
            ["content"],
            content={"type": "string", "minLength": 1, "maxLength": 10_000, "pattern": r"\S"},
            tags={**_TAGS, "description": "Words to find it by, such as `tests` or `deploy`."},
            scope={
                **_SCOPE,
                "description": "`project`, the default; `session` for notes that only this session "
                "recalls; or a label of your own, such as the name of a component.",
            },
        ),
        gives=gives(
            stored={"type": "boolean"},
            id={"type": "string"},
            content={"type": "string"},
            wasKnown={
                "type": "boolean",
                "description": "A note that says the same was there; it now has these words.",
            },
        ),
        act=_remember,
    ),
    Tool(
        name="af_memory_recall",
        title="Recall notes",
        description="Search what sessions of this project have remembered, best first. Ask before "
        "you begin and whenever you are about to find something out that others must have found "
        "out before. Use the words that the note would use; ask again with others when nothing "
        "fits.",
        takes=takes(
            ["query"],
            query={"type": "string", "minLength": 1, "maxLength": 1000, "pattern": r"\S"},
            tags={**_TAGS, "description": "Only notes that have all of these."},
            scope={**_SCOPE, "description": "Only notes of this scope."},
            max_results={
                "type": "integer",
                "minimum": 1,
                "maximum": 50,
                "description": "Default 10.",
            },
        ),
        gives=gives(
            results={
                "type": "array",
                "items": gives(
                    id={"type": "string"},
                    content={"type": "string"},
                    score={"type": "number", "description": "Higher is better."},
                    source={"type": "string"},
                    type={"type": "string"},
                    tags={"type": "array", "items": {"type": "string"}},
                    scope={"type": "string"},
                    sessionId={"type": "string", "description": "The session that said it last."},
                    timestamp={"type": "string", "format": "date-time"},
                ),
            },
            total={"type": "integer", "description": "How many notes came into question."},
        ),
        act=_recall,
        changes=False,
    ),
)

PROVIDER: Final = Always(TOOLS)
