"""The few things the server says to Linear, over its GraphQL API.

Each call that makes something takes the id it shall have, so that a call which is made twice,
because nobody knows whether the first arrived, makes one thing. Linear wants such ids as UUIDs of
version 4 and answers a second one with `conflict on insert`, which counts as success here.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from outbound.guarded_client import Answer, Failed, GuardedClient, Refused
from settings import Secret

MOST_WAIT_SECONDS: Final = 3600.0
MOST_ERROR_CHARACTERS: Final = 300

CREATE_ACTIVITY: Final = """
mutation ($input: AgentActivityCreateInput!) {
  done: agentActivityCreate(input: $input) { success }
}
"""
CREATE_COMMENT: Final = """
mutation ($input: CommentCreateInput!) { done: commentCreate(input: $input) { success } }
"""
UPDATE_SESSION: Final = """
mutation ($id: String!, $input: AgentSessionUpdateInput!) {
  done: agentSessionUpdate(id: $id, input: $input) { success }
}
"""
TEAM_OF_ISSUE: Final = "query ($id: String!) { done: issue(id: $id) { team { id } } }"
READ_ISSUE: Final = """
query ($id: String!) {
  done: issue(id: $id) {
    id identifier title description url priority createdAt updatedAt
    state { id name type } team { id name key } assignee { id name } project { id name }
    parent { id identifier } labels(first: 200) { nodes { id name } }
  }
}
"""
CREATE_ISSUE: Final = """
mutation ($input: IssueCreateInput!) { done: issueCreate(input: $input) { success } }
"""
UPDATE_ISSUE: Final = """
mutation ($id: String!, $input: IssueUpdateInput!) {
  done: issueUpdate(id: $id, input: $input) { success }
}
"""

LIMITED: Final = "RATELIMITED"
THEIR_FAULT: Final = frozenset({"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR"})
LIMITS: Final = ("x-ratelimit-requests", "x-ratelimit-endpoint-requests", "x-ratelimit-complexity")


class TryAgain(Exception):
    """It may work later; `wait_seconds` is set when Linear said how much later."""

    def __init__(self, text: str, wait_seconds: float | None = None) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(text)


class Rejected(Exception):
    """Linear will not do this, today or tomorrow."""


class Linear:
    """Linear as one credential sees it. Every call raises `TryAgain` or `Rejected`."""

    def __init__(self, client: GuardedClient, url: str, key: Secret) -> None:
        self._client = client
        self._url = url
        # Personal API keys go bare; an app's tokens are bearers.
        bare = key.value.startswith("lin_api_")
        self._authorization = key.value if bare else f"Bearer {key.value}"

    async def create_activity(
        self, activity_id: str, agent_session_id: str, content: Mapping[str, Any]
    ) -> None:
        """Add a `thought`, `action`, `response` or `error` to an agent session."""
        await self._create(
            CREATE_ACTIVITY,
            {"id": activity_id, "agentSessionId": agent_session_id, "content": content},
        )

    async def create_comment(self, comment_id: str, issue_id: str, body: str) -> None:
        await self._create(CREATE_COMMENT, {"id": comment_id, "issueId": issue_id, "body": body})

    async def set_external_urls(
        self, agent_session_id: str, external_urls: list[dict[str, str]]
    ) -> None:
        """Replace the links of an agent session; `external_urls` are pairs of `label`, `url`."""
        await self._ask(
            UPDATE_SESSION,
            {"id": agent_session_id, "input": {"externalUrls": external_urls}},
        )

    async def update_issue(self, issue_id: str, change: Mapping[str, Any]) -> None:
        """Change members of an issue; doing it twice is doing it once."""
        await self._ask(UPDATE_ISSUE, {"id": issue_id, "input": change})

    async def read_issue(self, name: str) -> dict[str, Any]:
        """An issue by its id or identifier, in the words of Linear's own events."""
        found = await self._ask(READ_ISSUE, {"id": name})
        labels = found.get("labels")
        return {**found, "labels": labels.get("nodes") if isinstance(labels, dict) else []}

    async def create_issue(
        self, issue_id: str, beside_issue_id: str, title: str, description: str
    ) -> None:
        """Open an issue in the team of another one, which may be named by its identifier."""
        beside = await self._ask(TEAM_OF_ISSUE, {"id": beside_issue_id})
        await self._create(
            CREATE_ISSUE,
            {
                "id": issue_id,
                "teamId": beside["team"]["id"],
                "title": title,
                "description": description,
            },
        )

    async def _create(self, mutation: str, values: dict[str, Any]) -> None:
        try:
            await self._ask(mutation, {"input": values})
        except _Known as known:
            if not known.names(values["id"]):
                raise

    async def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.request(
                "POST",
                self._url,
                headers={
                    "Authorization": self._authorization,
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
                content=orjson.dumps({"query": query, "variables": variables}),
            )
        except Failed as failed:
            raise TryAgain(str(failed)) from failed
        except Refused as refused:
            raise Rejected(str(refused)) from refused
        return _read(answer)


class _Known(Rejected):
    """Linear has something of this id already."""

    def __init__(self, text: str, about: str) -> None:
        self._about = about
        super().__init__(text)

    def names(self, entity_id: str) -> bool:
        """Whether it is this id that is known, as far as Linear says."""
        return not self._about or entity_id in self._about


def _read(answer: Answer) -> dict[str, Any]:
    """What was asked for, or the reason why not, as an exception."""
    said: Any = None
    with suppress(orjson.JSONDecodeError):
        said = orjson.loads(answer.body)
    errors = said.get("errors") if isinstance(said, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    message, about, codes = _explained(first)
    text = f"{answer.status} {message}".replace("\0", "").strip()[:MOST_ERROR_CHARACTERS]
    # Linear answers a limit with 400 and a code; what stands before it may answer 429.
    if answer.status == 429 or LIMITED in codes:
        raise TryAgain(text or "rate limited", _wait(answer.headers))
    if answer.status >= 500 or answer.status == 408 or codes & THEIR_FAULT:
        raise TryAgain(text, _retry_after(answer.headers))
    if message.lower().startswith("conflict on insert"):
        raise _Known(text, about)
    if first is not None or answer.status >= 300:
        raise Rejected(text)
    done = said.get("data", {}).get("done") if isinstance(said, dict) else None
    if not isinstance(done, dict):
        raise TryAgain(f"{answer.status}, but not an answer of Linear's")
    if done.get("success") is False:
        raise Rejected("Linear said that it was not a success")
    return done


def _explained(error: Any) -> tuple[str, str, set[str]]:
    """A GraphQL error's message, what it says to people, and the codes that it carries."""
    if not isinstance(error, dict):
        return "", "", set()
    extensions = error.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    codes = {str(extensions.get(name, "")).upper() for name in ("code", "type")}
    about = extensions.get("userPresentableMessage")
    return str(error.get("message", "")), about if isinstance(about, str) else "", codes


def _wait(headers: Mapping[str, str]) -> float | None:
    """How long to wait for a limit: `Retry-After`, or the reset of a budget that is used up."""
    after = _retry_after(headers)
    if after is not None:
        return after
    waits = []
    for limit in LIMITS:
        # The reset is in milliseconds since 1970.
        reset = headers.get(f"{limit}-reset", "")
        if headers.get(f"{limit}-remaining") == "0" and reset.isdigit():
            waits.append(int(reset) / 1000 - time.time())
    return min(max(*waits, 1.0), MOST_WAIT_SECONDS) if waits else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    seconds = headers.get("retry-after", "")
    return min(float(seconds), MOST_WAIT_SECONDS) if seconds.isdigit() else None
