"""What agents remember, and how well they recall it."""

import asyncio
import re
import zlib
from dataclasses import replace

import psycopg
import pytest

import settings
from domain.memory import says_the_same
from persistence import memory
from services import embedding
from supervisor.postgres import SUPERUSER
from tests.costs import explained, scanned
from tests.mcp_client import Agent, call
from tests.memory_notes import IN_OTHER_WORDS, IN_THEIR_WORDS, NOTES


async def contents(agent, query, **more):
    found = await agent.result("af_memory_recall", query=query, **more)
    return [each["content"] for each in found["results"]]


async def test_what_one_session_remembers_the_next_recalls(make, audit_log):
    worker = await make.worker()
    first, second = await Agent.begin(make, worker), await Agent.begin(make, worker)

    stored = await first.result(
        "af_memory_remember", content="  Integration tests need the redis service ", tags=["tests"]
    )
    found = await second.result("af_memory_recall", query="redis for integration tests")

    (note,) = found["results"]
    assert stored["stored"] is True
    assert stored["content"] == "Integration tests need the redis service"
    assert (note["id"], note["content"]) == (stored["id"], stored["content"])
    assert (note["tags"], note["scope"], note["sessionId"]) == (["tests"], "project", first.id)
    assert found["total"] == 1
    assert await audit_log(of="memory.remembered") == [("memory.remembered", stored["id"])]


async def test_no_note_leaves_its_project_or_its_organization(make, application, owner):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    other_org = await Maker.begin(application, owner, SYSTEM_KEY)
    mine, theirs = await Agent.begin(make), await Agent.begin(other_org)
    elsewhere = await make.project()
    waiting = await make.session(elsewhere)
    await mine.result("af_memory_remember", content="The vault is behind the picture")
    forged = {"orgId": make.org_id, "projectId": make.project_id, "sessionId": mine.id}
    asked = call("af_memory_recall", query="vault picture", context=forged)

    answers = [
        await theirs.post(asked),
        await make.org.post(f"/api/mcp/{waiting}", json=asked),
        await mine.post(asked),
    ]
    await other_org.close()

    totals = [each.json()["result"]["structuredContent"]["total"] for each in answers]
    assert totals == [0, 0, 1]


async def test_tags_and_scopes_narrow_and_a_sessions_own_notes_stay_its_own(make):
    worker = await make.worker()
    first, second = await Agent.begin(make, worker), await Agent.begin(make, worker)
    for agent, content, more in (
        (first, "Deploy with the blue script", {"tags": ["deploy", "ops"]}),
        (first, "Deploy asks for a code", {"tags": ["deploy"], "scope": "billing"}),
        (first, "Deploy is my next step", {"scope": "session"}),
        (second, "Deploy is not my task", {"scope": "session"}),
    ):
        await agent.result("af_memory_remember", content=content, **more)

    own = await contents(first, "deploy")
    tagged = await contents(first, "deploy", tags=["ops", "deploy"])
    scoped = await contents(second, "deploy", scope="billing")
    sessions = await contents(second, "deploy", scope="session")
    project = await contents(second, "deploy", scope="project")
    stolen = await second.error(
        call("af_memory_recall", query="deploy", scope=f"session/{first.id}")
    )

    assert len(own) == 3
    assert "Deploy is not my task" not in own
    assert tagged == project == ["Deploy with the blue script"]
    assert scoped == ["Deploy asks for a code"]
    assert sessions == ["Deploy is not my task"]
    assert stolen["code"] == -32602


async def test_notes_are_found_by_tag_by_part_of_a_word_and_misspelt(make):
    agent = await Agent.begin(make)
    await agent.result("af_memory_remember", content="Use OrderService.cancel", tags=["stockroom"])
    await agent.result("af_memory_remember", content="The kubernetes cluster is in Frankfurt")

    assert await contents(agent, "stockroom") == ["Use OrderService.cancel"]
    assert await contents(agent, "orderservice") == ["Use OrderService.cancel"]
    assert await contents(agent, "kubernets cluser") == ["The kubernetes cluster is in Frankfurt"]
    assert await contents(agent, "zebra") == []
    assert await contents(agent, "the of and") == []
    assert await contents(agent, "it's | !(& <-> :* 'x") == []


# --- folding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Run the tests with make test", "run the  tests with MAKE test", True),
        ("Run the unit tests with make test", "Run all the unit tests with make test.", True),
        ("The retry limit of the mailer is 5", "The retry limit of the mailer is 7", False),
        ("The gate is open on Sunday", "The gate is not open on Sunday", False),
        ("Files of core/a.py are generated", "Files of core/b.py are generated", False),
        ("The login page is slow", "The checkout needs a shipping address", False),
    ],
)
async def test_notes_that_say_the_same_are_one_with_the_newest_words(make, first, second, same):
    agent = await Agent.begin(make)
    one = await agent.result("af_memory_remember", content=first, tags=["a"])

    two = await agent.result("af_memory_remember", content=second, tags=["b"])

    rows = await make.owner.execute(
        "select content, tags, times from memories where project_id = %s", (make.project_id,)
    )
    kept = [tuple(row) for row in await rows.fetchall()]
    assert two["wasKnown"] is same
    assert (one["id"] == two["id"]) is same
    assert kept == [(second, ["a", "b"], 2)] if same else len(kept) == 2
    assert second in await contents(agent, second)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The cache is warm", "the cache was warm", True),
        ("Port 80", "Port 81", False),
        ("use foo_bar", "use foo_baz", False),
        ("never retry", "retry", False),
        ("Ask Ada first.", "Ask ada first", True),
    ],
)
def test_numbers_names_and_denials_are_what_a_fact_hangs_on(one, other, same):
    assert says_the_same(one, other) is same


async def test_many_that_remember_the_same_at_once_keep_one(make):
    worker = await make.worker(capacity=10)
    agents = [await Agent.begin(make, worker) for _ in range(5)]

    answers = await asyncio.gather(
        *(a.result("af_memory_remember", content="Same for all") for a in agents for _ in range(3))
    )

    assert len({answer["id"] for answer in answers}) == 1
    assert sum(answer["wasKnown"] for answer in answers) == 14


async def test_a_session_remembers_no_more_than_it_may(make, monkeypatch):
    from services.tools import memory as tools

    monkeypatch.setattr(tools, "MOST_NOTES", 2)
    agent = await Agent.begin(make)
    for content in ("The sky is blue", "Grass grows in spring"):
        await agent.result("af_memory_remember", content=content)

    said = await agent.failure("af_memory_remember", content="Water is wet")
    again = await agent.result("af_memory_remember", content="the sky is blue")

    assert "may remember 2 notes" in said
    assert again["wasKnown"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"content": ""},
        {"content": " \n"},
        {"content": "x" * 10_001},
        {"content": 7},
        {"content": "x", "tags": "a"},
        {"content": "x", "tags": [""]},
        {"content": "x", "scope": "session/ses-1"},
        {"content": "x", "scope": " "},
    ],
)
async def test_what_cannot_be_remembered_is_told_why(make, arguments):
    agent = await Agent.begin(make)

    error = await agent.error(call("af_memory_remember", **arguments))

    assert error["code"] == -32602
    assert error["message"].startswith("arguments")


# --- how well ------------------------------------------------------------------------------------

TEXT_FLOOR = {"their words": 25, "other words": 0}
MEANING_FLOOR = {"their words": 25, "other words": 24}
"""Of 25 questions each: how many have their note among the first five."""

SYNONYMS = """
password user credential hash algorithm|checkout purchase order confirmation email notify customer
deploy release production weekday saturday|private data person name address output log
backup restore record lost ninety|legacy old importer ingestion script swallow hide error exception
currency amount price money cent|network internet http call socket spec unit|branch git ref name
linter code style function method maximum longer line|invoice tax vat document buyer europe germany
cache stale data item product edit change broadcast|administrator superuser key factor login
memory ram worker process leak grow climb|parser grammar syntax rule language modify
delete account erase gdpr removal leave people|mail mailhog message development locally
upload file large big stream|scheduler cron job task twice once idempotent
colour css variable token spacing theme styling|query sql slow performance
balancer proxy idle keepalive socket drop close|reviewer approve sign payment billing pay folder
docker image container cpu architecture arm64 amd64|desktop client windows program xml soap endpoint
"""


class Associations:
    """Plays a model: words that belong together share a direction, others have one each."""

    name = "associations"

    def __init__(self):
        self.groups = {}
        for number, line in enumerate(SYNONYMS.replace("\n", "|").strip("|").split("|")):
            for word in line.split():
                self.groups.setdefault(word, []).append(number)

    def embed(self, texts):
        return [self._vector(text) for text in texts]

    def _vector(self, text):
        made = [0.0] * 256
        for raw in re.findall(r"[a-z0-9]+", text.lower()):
            forms = (raw, raw.removesuffix("s"), raw.removesuffix("es"), raw.removesuffix("ed"))
            word = next((form for form in forms if form in self.groups), None)
            if raw not in STOP:
                for number in self.groups.get(word or "", [64 + zlib.crc32(raw.encode()) % 192]):
                    made[number] += 1.0
        return made


@pytest.fixture
async def by_meaning(given, stores, owner, monkeypatch):
    """The server with an embedder switched on."""
    from persistence import migrations, vector_types

    with psycopg.connect(stores.postgres.url(SUPERUSER), autocommit=True) as db:
        vector_types.make(db)
    await asyncio.to_thread(migrations.upgrade, stores.owner_url, vectors=True)
    monkeypatch.setattr(embedding, "EMBEDDERS", {"wordllama": Associations})
    monkeypatch.setattr(embedding, "_made", {})
    settings.use(replace(given, embedder="wordllama"))
    yield
    settings.use(given)


async def recalled(make):
    """How many of both halves of the questions find their note among the first five."""
    agent = await Agent.begin(make)
    notes = [call("af_memory_remember", content=note) for note in NOTES]
    for start in range(0, len(notes), 20):
        answers = (await agent.post(notes[start : start + 20])).json()
        assert not any(each["result"]["structuredContent"]["wasKnown"] for each in answers)

    async def hits(questions):
        found = [await contents(agent, question, max_results=5) for question, _ in questions]
        return sum(note in five for (_, note), five in zip(questions, found, strict=True))

    return {"their words": await hits(IN_THEIR_WORDS), "other words": await hits(IN_OTHER_WORDS)}


def words_of(text):
    return {word for word in re.findall(r"[a-z0-9_]+", text.lower()) if word not in STOP}


STOP_WORDS = """
    a an and are as at be by can do does for from had has have how i in is it may my no not of on
    or should that the them they to was we what when where which who why will with
"""
STOP = frozenset(STOP_WORDS.split())


def test_half_of_the_questions_share_no_word_with_their_note():
    assert len(NOTES) == len(set(NOTES)) == 100
    assert len(IN_THEIR_WORDS) == len(IN_OTHER_WORDS) == 25
    for question, note in IN_OTHER_WORDS:
        assert not words_of(question) & words_of(note), (question, note)
    for question, note in IN_THEIR_WORDS:
        assert words_of(question) & words_of(note), (question, note)


async def test_five_notes_hold_the_one_that_words_ask_for(make):
    found = await recalled(make)

    assert all(found[half] >= floor for half, floor in TEXT_FLOOR.items()), found


async def test_an_embedder_finds_what_was_asked_in_other_words(make, by_meaning):
    found = await recalled(make)

    assert all(found[half] >= floor for half, floor in MEANING_FLOOR.items()), found


async def test_a_note_of_the_time_before_the_embedder_is_found_by_its_words(make, by_meaning):
    agent = await Agent.begin(make)
    settings.use(replace(settings.current(), embedder=None))
    await agent.result("af_memory_remember", content="The lighthouse keeper is called Ola")
    settings.use(replace(settings.current(), embedder="wordllama"))

    assert await contents(agent, "lighthouse keeper") == ["The lighthouse keeper is called Ola"]


async def test_recall_reads_indexes_however_many_notes_there_are(make):
    """The planner may read the project's notes by their index, or one word's of all projects, but
    never all notes."""
    await many(make, await make.project(), 2_000)
    await many(make, make.project_id, 1_000)
    values = {
        "org": make.org_id,
        "project": make.project_id,
        "session": "ses-1",
        "query": "visibility timeout of celery",
        "tags": None,
        "scope": None,
        "limit": 10,
    }

    plan, _ = await explained(make.owner, memory.RECALL, values)
    rare, _ = await explained(make.owner, memory.RECALL, {**values, "query": "unheard"})

    assert "memories" not in scanned(plan) | scanned(rare)
    assert "memories_words_idx" in {node.get("Index Name") for node in rare}


async def many(make, project_id, count):
    """Notes of many sessions, made of the words of the hundred."""
    await make.owner.execute(
        "insert into memories (org_id, project_id, id, session_id, scope, content, content_hash,"
        " tags, words)"
        " select %(org)s, %(project)s, 'mem-' || %(project)s || n, 'ses-' || n %% 50, 'project',"
        "        c.text, sha256(convert_to(c.text, 'UTF8')), '{}',"
        "        to_tsvector('english', c.text) || array_to_tsvector(array['=' || %(project)s])"
        " from generate_series(1, %(count)s) n,"
        " lateral (select 'Note ' || n || ': ' || (%(notes)s::text[])[1 + n %% 100] || ' '"
        "          || (%(notes)s::text[])[1 + (n / 100) %% 100] as text) c",
        {"org": make.org_id, "project": project_id, "count": count, "notes": NOTES},
    )
    await make.owner.execute("analyze memories")
