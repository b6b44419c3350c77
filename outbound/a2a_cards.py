"""Fetches the AgentCards of peers."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from a2a.client.card_resolver import parse_agent_card
from google.protobuf.json_format import ParseError

from domain.a2a_cards import BadCard, places, usable
from outbound.guarded_client import Answer, Failed, GuardedClient, Refused

MOST_CARD_BYTES: Final = 256 * 1024
MOST_ETAG_CHARACTERS: Final = 200
CARD_SECONDS: Final = 8.0


class NoCard(Exception):
    """No card was found; the text says why, and may be shown to who registered the agent."""


@dataclass(frozen=True, slots=True)
class Found:
    """A card as it was found; `card` is None when it is the one that is known."""

    url: str
    etag: str | None
    card: dict[str, Any] | None


async def find(client: GuardedClient, url: str, known_at: str = "", etag: str = "") -> Found:
    """The card of the agent at a base URL: at its well-known place, or else at the URL itself.

    `known_at` and `etag` tell of the card that is known. Raises `NoCard`.
    """
    complaints = []
    for place in places(url):
        known = {"If-None-Match": etag} if etag and place == known_at else {}
        try:
            answer = await client.request(
                "GET", place, headers={"Accept": "application/json", **known}
            )
            if answer.status == 304 and known:
                return Found(place, etag, None)
            return Found(place, _etag(answer), _read(answer, url))
        except (Refused, Failed, BadCard) as error:
            complaints.append(str(error))
            if isinstance(error, Refused):
                break
    raise NoCard(complaints[0] if len(set(complaints)) == 1 else "; ".join(complaints))


def _read(answer: Answer, url: str) -> dict[str, Any]:
    if answer.status != 200:
        raise BadCard(f"the agent answers {answer.status} where its card should be")
    try:
        card = usable(orjson.loads(answer.body), url)
        # The SDK's reading of it changes what it reads.
        parse_agent_card(orjson.loads(answer.body))
    except orjson.JSONDecodeError:
        raise BadCard("what should be the card is not JSON") from None
    except (ParseError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadCard(f"the card does not fit the protocol: {str(error)[:200]}") from None
    return card


def _etag(answer: Answer) -> str | None:
    etag = answer.headers.get("etag")
    return str(etag) if etag and etag.isascii() and len(etag) <= MOST_ETAG_CHARACTERS else None
