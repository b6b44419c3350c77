"""The notes of a project: found by words, by likeness, by meaning and by age; folded when alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import memories

ALIKE: Final = 0.75
"""How much of two notes' trigrams must be shared for one to be looked at as the other again."""

WORDS: Final = """
(to_tsvector('english', {content}) || to_tsvector('simple', array_to_string({tags}, ' '))
 || array_to_tsvector(array['=' || {project}]))"""
"""`=` begins no word, so the project's own is never searched for by accident."""

_CONTENT: Final = "cast(:content as text)"

MOST_FOUND: Final = 100
"""How many notes each way of finding hands over to be put in order."""

RECENT_DAYS: Final = 30

_VISIBLE: Final = """
m.org_id = %(org)s and m.project_id = %(project)s
  and (m.scope not like 'session/%%' or m.scope = 'session/' || %(session)s)
  and (%(scope)s::text is null or m.scope = %(scope)s)
  and (%(tags)s::text[] is null or m.tags @> %(tags)s::text[])"""

_NOTE: Final = """
m.id, m.content, m.tags, m.scope, m.source, m.session_id, m.remembered_at, m.weight"""

# Written out wherever it is needed, so that the planner knows the words and how common they are.
_ANY_WORD: Final = """
replace((plainto_tsquery('english', %(query)s) && plainto_tsquery('simple', %(query)s))::text,
        '&', '|')::tsquery"""

_DISTANCE: Final = """
m.embedding::vectors.vector operator(vectors.<=>) %(vector)s::vectors.vector"""


def _recall(*, meaning: bool) -> str:
    """The statement: notes found by each way, then all of them in one order."""
    note = f"{_NOTE}, m.embedder, m.embedding" if meaning else _NOTE
    by_meaning = f"""
    , by_meaning as materialized (
      select {note}, 0::real as rank from memories m
       where {_VISIBLE} and m.embedder = %(embedder)s
       order by {_DISTANCE} limit {MOST_FOUND}
    )"""
    nearness = f"+ 2 * case when m.embedder = %(embedder)s then 1 - ({_DISTANCE}) else 0 end"
    return f"""
with by_words as materialized (
  select {note}, ts_rank(m.words, {_ANY_WORD}, 1) as rank
    from memories m
   where m.words @@ (('''=' || %(project)s || '''')::tsquery && {_ANY_WORD}) and {_VISIBLE}
   order by rank desc limit {MOST_FOUND}
), by_likeness as materialized (
  -- Words misspelt or within others; asked only when the words themselves found little.
  select {note}, 0::real as rank from memories m
   where (select count(*) from by_words) < 5 and %(query)s <%% m.content and {_VISIBLE}
   limit {MOST_FOUND}
){by_meaning if meaning else ""}, found as (
  select distinct on (id) * from (
    select * from by_words union all select * from by_likeness
    {"union all select * from by_meaning" if meaning else ""}
  ) every_way order by id, rank desc
)
select {_NOTE},
       m.weight * (
         coalesce(m.rank / nullif(max(m.rank) over (), 0), 0)
         + 0.5 * word_similarity(%(query)s, m.content)
         + 0.1 * exp(-extract(epoch from now() - m.remembered_at) / (86400 * {RECENT_DAYS}))
         {nearness if meaning else ""}) as score,
       count(*) over () as total
  from found m
 order by score desc, m.remembered_at desc, m.id
 limit %(limit)s
"""


RECALL: Final = _recall(meaning=False)
RECALL_BY_MEANING: Final = _recall(meaning=True)

_ALIKE: Final = """
select m.id, m.content from memories m
 where m.org_id = :org and m.project_id = :project and m.scope = :scope and m.content % :content
 order by similarity(m.content, :content) desc limit 5
"""

_ADD: Final = f"""
insert into memories (org_id, project_id, id, session_id, scope, content, content_hash, tags, words,
                      embedder, embedding)
values (:org, :project, :id, :session, :scope, :content, :hash, :tags,
        {WORDS.format(content=_CONTENT, tags="cast(:tags as text[])", project=":project")},
        :embedder, :embedding)
"""

_SAY_AGAIN: Final = f"""
update memories m
   set content = :content, content_hash = :hash, session_id = :session, times = m.times + 1,
       tags = all_tags.tags, remembered_at = now(), embedder = :embedder, embedding = :embedding,
       words = {WORDS.format(content=_CONTENT, tags="all_tags.tags", project=":project")}
  from (select array(select distinct unnest(o.tags || cast(:tags as text[])) order by 1) as tags
          from memories o where o.org_id = :org and o.id = :id) all_tags
 where m.org_id = :org and m.id = :id
"""


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be remembered, and by whom; `embedding` None without an embedder."""

    org_id: str
    project_id: str
    session_id: str
    scope: str
    content: str
    content_hash: bytes
    tags: Sequence[str]
    embedder: str | None = None
    embedding: Sequence[float] | None = None

    def values(self, note_id: str) -> dict[str, Any]:
        """The values of a statement that writes it under this id."""
        return {
            "org": self.org_id,
            "project": self.project_id,
            "id": note_id,
            "session": self.session_id,
            "scope": self.scope,
            "content": self.content,
            "hash": self.content_hash,
            "tags": list(self.tags),
            "embedder": self.embedder,
            "embedding": None if self.embedding is None else list(self.embedding),
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be recalled, for whom; `scope` as it is stored, None for all that is visible."""

    org_id: str
    project_id: str
    session_id: str
    query: str
    tags: Sequence[str] | None
    scope: str | None
    limit: int


async def take_turn(db: AsyncConnection, note: Note) -> None:
    """Wait for whoever remembers in the same place: of two alike at once, one is kept."""
    place = f"{note.org_id}/memory/{note.project_id}/{note.scope}"
    await db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(place, 0))))


async def count_of(db: AsyncConnection, org_id: str, session_id: str) -> int:
    """How many notes are a session's."""
    counted = await db.execute(
        select(func.count()).where(memories.c.org_id == org_id, memories.c.session_id == session_id)
    )
    return int(counted.scalar_one())


async def alike(db: AsyncConnection, note: Note) -> list[Any]:
    """The notes of the same scope that look like this one, the most alike first; an equal one is
    first of all."""
    equal = await db.execute(
        select(memories.c.id, memories.c.content).where(
            memories.c.org_id == note.org_id,
            memories.c.project_id == note.project_id,
            memories.c.scope == note.scope,
            memories.c.content_hash == note.content_hash,
        )
    )
    if found := list(equal):
        return found
    await db.execute(select(func.set_config("pg_trgm.similarity_threshold", str(ALIKE), True)))
    values = note.values("")
    return list(
        await db.execute(
            text(_ALIKE), {n: values[n] for n in ("org", "project", "scope", "content")}
        )
    )


async def add(db: AsyncConnection, note: Note, note_id: str) -> None:
    """Store a new note."""
    await db.execute(text(_ADD), note.values(note_id))


async def say_again(db: AsyncConnection, note: Note, note_id: str) -> None:
    """Store a note in the place of one that says the same: the newest words and all tags."""
    await db.execute(text(_SAY_AGAIN), note.values(note_id))


async def recall(
    question: Question, embedder: str | None, vector: Sequence[float] | None
) -> list[Any]:
    """The best notes with their score, and `total`, how many were looked at; one round trip."""
    values = {
        "org": question.org_id,
        "project": question.project_id,
        "session": question.session_id,
        "query": question.query,
        "tags": None if question.tags is None else list(question.tags),
        "scope": question.scope,
        "limit": question.limit,
    }
    if vector is None:
        return list(await database.hot(RECALL, values))
    values |= {"embedder": embedder, "vector": str(list(vector))}
    return list(await database.hot(RECALL_BY_MEANING, values))
