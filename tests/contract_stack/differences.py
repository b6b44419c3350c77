"""Where our stack answers differently from Connexion's own, each with its reason.

The table is read from the top; the first entry that explains a difference names it. Pairs
of statuses are ours, then stock's: `2xx` is any of its class and `*` is anything.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from contract import Contract
from contract.loading import read
from contract.references import Json, resolved
from tests.contract_stack.generation import Case

MAX_BODY_BYTES: Final = 1_048_576


class Outcome(Protocol):
    """What the table needs to know of an answer."""

    status: Any
    headers: Mapping[str, str]
    body: Any
    calls: tuple[Any, ...]


def _any(case: Case, ours: Outcome, stock: Outcome) -> bool:
    return True


@dataclass(frozen=True)
class Difference:
    """A named difference; `twists` None means that it may show under any."""

    why: str
    twists: tuple[str, ...] | None
    pairs: tuple[str, ...]
    holds: Callable[[Case, Outcome, Outcome], bool] = _any

    def explains(self, case: Case, ours: Outcome, stock: Outcome) -> bool:
        """Whether this is the reason why these two differ."""
        return (
            (self.twists is None or case.twist in self.twists)
            and any(_fits(pair, ours, stock) for pair in self.pairs)
            and self.holds(case, ours, stock)
        )


def _fits(pair: str, ours: Outcome, stock: Outcome) -> bool:
    return all(
        wanted == "*" or wanted == str(found.status)
        or (wanted == "2xx" and str(found.status).startswith("2"))
        for wanted, found in zip(pair.split(), (ours, stock), strict=True)
    )  # fmt: skip


def _same_refusal(case: Case, ours: Outcome, stock: Outcome) -> bool:
    return (
        ours.headers == stock.headers
        and ours.calls == stock.calls == ()
        and (case.method == "HEAD" or set(ours.body) == set(stock.body) == {"error"})
    )


def _only_the_allow_header(case: Case, ours: Outcome, stock: Outcome) -> bool:
    more = set(ours.headers["allow"].split(", "))
    fewer = set(stock.headers["allow"].split(", ")) - {"HEAD"}
    return fewer <= more and ours.calls == stock.calls == ()


def _only_the_type_of_nothing(case: Case, ours: Outcome, stock: Outcome) -> bool:
    rest = {name: value for name, value in stock.headers.items() if name != "content-type"}
    return ours.body == stock.body == b"" and ours.headers == rest and ours.calls == stock.calls


def _too_large(case: Case, ours: Outcome, stock: Outcome) -> bool:
    return len(case.body) > case.operation.raw.get("x-max-body-bytes", MAX_BODY_BYTES)


def _lists_differ(case: Case, ours: Outcome, stock: Outcome) -> bool:
    split = str(ours.calls).replace("'a,b'", "'a', 'b'")
    return split == str(stock.calls)


REFUSAL_WORDS: Final = "words of a refusal"

DIFFERENCES: Final[dict[str, Difference]] = {
    REFUSAL_WORDS: Difference(
        "both refuse alike; our text begins with the place and does not print the schema",
        None,
        tuple(f"{status} {status}" for status in (400, 401, 404, 405, 415)),
        _same_refusal,
    ),
    "body limit": Difference(
        "stock reads a body of any length; ours is a 413 that closes the connection",
        None,
        ("413 *",),
        _too_large,
    ),
    "type of an empty answer": Difference(
        "stock names a content type where there is no content",
        None,
        tuple(f"{status} {status}" for status in (200, 202, 204)),
        _only_the_type_of_nothing,
    ),
    "HEAD": Difference(
        "stock serves HEAD by running the GET handler; ours serves declared methods only",
        ("HEAD",),
        ("405 *",),
    ),
    "Allow": Difference(
        "stock lists the methods of one route; ours lists all methods of the path",
        ("other method",),
        ("405 405",),
        _only_the_allow_header,
    ),
    "a literal path is not its template": Difference(
        "stock falls through to a templated sibling that has the method; ours answers 405",
        ("other method",),
        ("405 2xx", "405 400", "405 401", "405 415"),
    ),
    "trailing slash": Difference(
        "stock redirects, which turns some clients' POST into a GET; ours does not find it",
        ("trailing slash",),
        ("404 307",),
    ),
    "doubled slash": Difference(
        "clients with a slash at the end of their base address send //api; ours serves it",
        ("doubled slash",),
        ("* 404",),
    ),
    "slash in a segment": Difference(
        "stock sees the decoded path, where %2F has become a separator",
        ("slash in a segment",),
        ("2xx 404", "400 404", "2xx 405"),
    ),
    "undecodable path": Difference(
        "stock hands on replacement characters; ours refuses what is not UTF-8",
        ("undecodable path",),
        ("400 *",),
    ),
    "path integer": Difference(
        "stock's routes know integers, so text there is not found; ours is a 400 that says why",
        ("text for a path integer",),
        ("400 404",),
    ),
    "NUL": Difference(
        "PostgreSQL cannot store a NUL character; ours refuses it at the door",
        ("NUL in the path", "NUL in the query", "NUL in the body"),
        ("400 2xx",),
    ),
    "bad credential beside anonymous": Difference(
        "stock lets a bad credential fall through to anonymous; ours refuses it",
        ("bad credential where anonymous is welcome",),
        ("401 *",),
    ),
    "bad credential beside a good one": Difference(
        "stock is content with the first good credential; ours refuses the bad one",
        ("a good and a bad credential",),
        ("401 2xx", "401 400"),
    ),
    "query parameter twice": Difference(
        "stock joins or drops repeated scalars, so that two readers may disagree; ours refuses",
        ("query parameter twice",),
        ("400 2xx",),
    ),
    "comma in an exploded list": Difference(
        "stock splits every list at commas, so that no item may contain one",
        ("comma in an exploded list",),
        ("2xx 2xx",),
        _lists_differ,
    ),
    "query that is not UTF-8": Difference(
        "stock hands on replacement characters; ours refuses",
        ("query that is not UTF-8",),
        ("400 2xx",),
    ),
    "Python's numbers": Difference(
        "stock takes what int() and float() take: 1_0, nan, other scripts' digits, spaces",
        ("integer as only Python spells it", "number as only Python spells it"),
        ("400 2xx",),
    ),
    "integer beyond 64 bits": Difference(
        "neither JSON nor the database would carry it; ours refuses",
        ("integer beyond 64 bits", "integer of 70 bits"),
        ("400 2xx",),
    ),
    "no content type": Difference(
        "stock guesses the first declared type, then hands raw bytes on; ours is a 415",
        ("no content type",),
        ("415 2xx", "415 400", "415 500"),
    ),
    "empty body": Difference(
        "stock refuses an empty body even where none is required, or hands on {} for it",
        ("no body", "no body under its type"),
        ("2xx 400", "2xx 415", "400 415", "2xx 2xx"),
    ),
    "chunks": Difference(
        "stock takes a body without a length for no body",
        ("body in chunks",),
        ("2xx 400",),
    ),
    "charset": Difference(
        "JSON is UTF-8; stock tries the charset, and fails or agrees by accident",
        ("JSON in UTF-16",),
        ("415 500", "415 2xx", "415 400"),
    ),
    "not UTF-8": Difference(
        "stock fails with a 500 on bytes that are not UTF-8",
        ("body that is not UTF-8",),
        ("400 500",),
    ),
    "JSON beyond JSON": Difference(
        "stock's parser takes NaN, Infinity, numbers beyond a double and lone surrogates",
        ("NaN", "number beyond a double", "lone surrogate"),
        ("400 2xx", "400 500"),
    ),
    "nesting": Difference(
        "stock fails with a 500 on deep bodies, or takes what cannot be written again",
        ("very deep body", "deep body"),
        ("400 500", "400 2xx"),
    ),
    "read-only": Difference(
        "stock ignores readOnly in requests; ours refuses the member",
        ("read-only member",),
        ("400 2xx",),
    ),
    "end of a pattern": Difference(
        "Python's $ also matches before a last line break; the contract's does not",
        ("line break after a string",),
        ("400 2xx",),
    ),
    "times": Difference(
        "stock's optional checker takes a line break and refuses leap seconds; RFC 3339 does not",
        ("leap second", "line break after a time"),
        ("400 2xx", "2xx 400"),
    ),
}

NEUTRALISED: Final = {
    "order of paths": "stock takes the first route that fits; ours prefers literal segments",
    "reserved headers": "stock checks a parameter called Authorization, Accept or Content-Type",
    "numbers in headers and cookies": "stock checks their text against the schema unconverted",
    "required and read-only": "stock demands a required read-only member in requests",
}
"""Differences of the contract itself, taken out before comparing since they would hide others."""


def neutral(contract: Contract) -> Contract:
    """The contract without what both stacks read differently in every request."""
    spec = copy.deepcopy(contract.spec)
    spec["paths"] = dict(sorted(spec["paths"].items(), key=lambda item: _templates(item[0])))
    for holder in _dicts(spec):
        parameters = holder.get("parameters")
        if isinstance(parameters, list):
            known = [resolved(spec, p) for p in parameters]
            holder["parameters"] = [_textual(p) for p in known if not _reserved(p)]
        properties = holder.get("properties")
        if isinstance(properties, dict) and isinstance(holder.get("required"), list):
            holder["required"] = [
                name
                for name in holder["required"]
                if not resolved(spec, properties.get(name, {})).get("readOnly")
            ]
            if not holder["required"]:
                del holder["required"]
    return read(spec)


def _templates(path: str) -> list[bool]:
    return ["{" in segment for segment in path.split("/")]


def _textual(parameter: Json) -> Json:
    if parameter.get("in") not in ("header", "cookie"):
        return parameter
    schema = parameter["schema"]
    return {**parameter, "schema": schema if schema.get("type") == "string" else {"type": "string"}}


def _reserved(parameter: Json) -> bool:
    name = str(parameter.get("name")).lower()
    return parameter.get("in") == "header" and name in ("authorization", "accept", "content-type")


def _dicts(node: Any) -> Iterable[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from _dicts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _dicts(value)
