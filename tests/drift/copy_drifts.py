"""Drift in what is made from the contract or speaks of it: twins, guides, tables, the record."""

import json
import re
from random import Random
from typing import Any

from tests.drift.kinds import drift
from tests.drift.sources import (
    RECORD,
    SETTINGS,
    Edits,
    Mutation,
    Place,
    Sources,
    chosen,
)

TABLE = "docs/scopes.md"


def _made(kind: Any, place: Place, edits: Edits, word: str = "", *, wide: bool = False) -> Mutation:
    return Mutation(kind.__name__, place.id, edits, word or place.id, wide)


def _twins(sources: Sources, place: Place) -> list[str]:
    return [
        path
        for path in sorted(sources.texts)
        if path.startswith("docs/reference/") and path.rsplit("/", 1)[1].split(".")[0] == place.id
    ]


def _swapped(random: Random, text: str) -> str:
    """The text with one word of it misspelled."""
    words = list(re.finditer(r"[A-Za-z]{5,}", text))
    word = random.choice(words)
    wrong = word[0][0] + word[0][2] + word[0][1] + word[0][3:]
    wrong = wrong if wrong != word[0] else word[0] + "x"
    return text[: word.start()] + wrong + text[word.end() :]


@drift(10)
def twin_edited(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = chosen(random, _twins(sources, place))
    if path is None:
        return None
    return _made(twin_edited, place, {path: _swapped(random, sources.texts[path])}, path)


@drift()
def twin_cut_short(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = chosen(random, _twins(sources, place))
    if path is None:
        return None
    lines = sources.texts[path].splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    return _made(twin_cut_short, place, {path: "".join(lines)}, path)


@drift()
def twin_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = chosen(random, _twins(sources, place))
    return _made(twin_removed, place, {path: None}, path) if path else None


@drift()
def twin_of_nothing(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = chosen(random, _twins(sources, place))
    if path is None:
        return None
    new = path.replace(place.id, f"{place.id}Formerly")
    return _made(twin_of_nothing, place, {new: sources.texts[path]}, new)


@drift()
def twins_exchanged(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = chosen(random, _twins(sources, place))
    if path is None:
        return None
    _folder, _, name = path.rpartition("/")
    others = [
        each
        for each in sources.texts
        if each.startswith("docs/reference/")
        and each.rpartition(".")[2] == name.rpartition(".")[2]
        and each != path
        and not each.endswith("map.md")
    ]
    other = random.choice(sorted(others))
    edits = {path: sources.texts[other], other: sources.texts[path]}
    return _made(twins_exchanged, place, edits, path)


@drift(8)
def list_lost_a_line(sources: Sources, place: Place, random: Random) -> Mutation | None:
    """The docs map, llms.txt, llms-full.txt or the scope table has lost the operation."""
    candidates = ("docs/reference/map.md", "docs/llms.txt", "docs/llms-full.txt", TABLE)
    path = chosen(random, [each for each in candidates if place.id in sources.texts.get(each, "")])
    if path is None:
        return None
    lines = sources.texts[path].splitlines(keepends=True)
    gone = next(number for number, line in enumerate(lines) if place.id in line)
    del lines[gone]
    return _made(list_lost_a_line, place, {path: "".join(lines)}, path)


@drift(5)
def scope_table_edited(sources: Sources, place: Place, random: Random) -> Mutation | None:
    text = sources.texts.get(TABLE, "")
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if place.id in line:
            lines[number] = line.replace(":", "_", 1) if ":" in line else line.replace("`", "")
            return _made(scope_table_edited, place, {TABLE: "".join(lines)}, TABLE)
    return None


# --- guides ---


def _guides(sources: Sources) -> list[str]:
    paths = [each for each in sources.texts if re.fullmatch(r"docs/guides/[\w-]+\.md", each)]
    return sorted(paths)


def _in_guides(
    sources: Sources, random: Random, pattern: str
) -> tuple[str, "re.Match[str]"] | None:
    found = [
        (path, match)
        for path in _guides(sources)
        for match in re.finditer(pattern, sources.texts[path])
    ]
    return random.choice(found) if found else None


def _rewritten(sources: Sources, path: str, match: "re.Match[str]", group: int, new: str) -> Edits:
    text = sources.texts[path]
    return {path: text[: match.start(group)] + new + text[match.end(group) :]}


@drift(10)
def guide_names_a_wrong_path(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(sources, random, r"(?<![\w/])(/(?:api|v1)/[\w/{}$.-]*\w)")
    if found is None:
        return None
    path, match = found
    parts = match[1].split("/")
    fixed = [n for n, part in enumerate(parts) if n > 1 and re.fullmatch(r"[a-z-]{3,}", part)]
    if not fixed:
        return None
    parts[random.choice(fixed)] += "z"
    return _made(
        guide_names_a_wrong_path, place, _rewritten(sources, path, match, 1, "/".join(parts)), path
    )


@drift()
def guide_names_a_wrong_method(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(sources, random, r"`(GET|POST|PUT|PATCH|DELETE) (/(?:api|v1)/[^`\s?]*)")
    if found is None:
        return None
    path, match = found
    edits = _rewritten(sources, path, match, 1, "PATCH" if match[1] != "PATCH" else "HEAD")
    return _made(guide_names_a_wrong_method, place, edits, path)


@drift()
def guide_names_a_wrong_operation(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    ids = "|".join(each.id for each in sources.places)
    found = _in_guides(sources, random, rf"(?<![\w/])({ids})(?!\w)")
    if found is None:
        return None
    path, match = found
    edits = _rewritten(sources, path, match, 1, match[1] + random.choice(["s", "Now", "Of"]))
    return _made(guide_names_a_wrong_operation, place, edits, path)


@drift()
def guide_names_a_wrong_header(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(
        sources, random, r"(?<![\w-])(X-Rensei-\w+|Idempotency-Key|If-Match|Last-Event-ID|ETag)\b"
    )
    if found is None:
        return None
    path, match = found
    wrong = {"If-Match": "If-Matches", "ETag": "E-Tags"}.get(match[1], match[1] + "s")
    edits = _rewritten(sources, path, match, 1, wrong)
    return _made(guide_names_a_wrong_header, place, edits, path)


@drift()
def guide_names_a_wrong_scope(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(sources, random, r"`([a-z_0-9]+:(?:read|write|poll|session|heartbeat))`")
    if found is None:
        return None
    path, match = found
    edits = _rewritten(sources, path, match, 1, match[1].replace(":", "s:"))
    return _made(guide_names_a_wrong_scope, place, edits, path)


@drift(5)
def guide_names_a_wrong_setting(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(sources, random, r"`(RENSEI_(?!KEY|URL)[A-Z_]+)`")
    if found is None:
        return None
    path, match = found
    edits = _rewritten(sources, path, match, 1, match[1] + "S_OF")
    return _made(guide_names_a_wrong_setting, place, edits, path)


@drift(5)
def guide_links_to_nothing(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path = random.choice(_guides(sources))
    text = sources.texts[path] + "\nSee also [more](more-about-it.md).\n"
    return _made(guide_links_to_nothing, place, {path: text}, path)


@drift(5)
def guide_names_a_wrong_member(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _in_guides(sources, random, r"`([a-z]+[A-Z][a-zA-Z]+)`")
    if found is None:
        return None
    path, match = found
    edits = _rewritten(sources, path, match, 1, match[1] + "Zone")
    return _made(guide_names_a_wrong_member, place, edits, path)


# --- README and settings ---


@drift(4)
def readme_lost_a_setting(sources: Sources, place: Place, random: Random) -> Mutation:
    lines = sources.texts["README.md"].splitlines(keepends=True)
    rows = [n for n, line in enumerate(lines) if re.match(r"\| `[A-Z_0-9]+` \|", line)]
    del lines[random.choice(rows)]
    return _made(readme_lost_a_setting, place, {"README.md": "".join(lines)}, "README.md")


@drift(4)
def readme_with_another_default(sources: Sources, place: Place, random: Random) -> Mutation:
    found = list(
        re.finditer(r"^\| `[A-Z_0-9]+` \| `([^`]+)` \|", sources.texts["README.md"], re.MULTILINE)
    )
    match = random.choice(found)
    edits = _rewritten(sources, "README.md", match, 1, match[1] + "0")
    return _made(readme_with_another_default, place, edits, "README.md")


@drift(4)
def readme_leads_to_nothing(sources: Sources, place: Place, random: Random) -> Mutation:
    found = list(re.finditer(r"^\| [a-z ]+ \| `([\w/]+)", sources.texts["README.md"], re.MULTILINE))
    match = random.choice([each for each in found if "/" in each[1]])
    edits = _rewritten(sources, "README.md", match, 1, match[1].rstrip("/") + "_gone/")
    return _made(readme_leads_to_nothing, place, edits, "README.md")


@drift(4)
def setting_added_in_silence(sources: Sources, place: Place, random: Random) -> Mutation:
    text = sources.texts[SETTINGS]
    at = text.index("    workers: int = _setting(")
    name = f"RENSEI_{place.id.upper()}"
    new = f'    {place.id.lower()}: str = _setting("{name}", _text, "1", "what it is")\n'
    return _made(setting_added_in_silence, place, {SETTINGS: text[:at] + new + text[at:]}, name)


# --- the status record ---


def _record(sources: Sources) -> dict[str, Any] | None:
    text = sources.texts.get(RECORD)
    return json.loads(text) if text else None


def _written(record: Any) -> Edits:
    return {RECORD: json.dumps(record, indent=2) + "\n"}


@drift()
def record_lost_an_operation(sources: Sources, place: Place, random: Random) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    del record["operations"][place.id]
    return _made(record_lost_an_operation, place, _written(record))


@drift()
def record_lost_a_status(sources: Sources, place: Place, random: Random) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    seen = record["operations"][place.id]["seen"]
    _, operation = sources.item(place)
    # A documented 400 need not be seen at each operation (decision 30).
    documented = sorted((set(seen) & set(operation["responses"])) - {"400"})
    if not documented:
        return None
    del seen[random.choice(documented)]
    return _made(record_lost_a_status, place, _written(record))


@drift()
def record_saw_what_is_not_documented(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    record["operations"][place.id]["seen"]["206"] = ["application/json"]
    return _made(record_saw_what_is_not_documented, place, _written(record))


@drift()
def record_saw_another_media_type(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    seen = record["operations"][place.id]["seen"]
    seen[random.choice(sorted(seen))] = ["text/html"]
    return _made(record_saw_another_media_type, place, _written(record))


@drift()
def record_of_another_contract(sources: Sources, place: Place, random: Random) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    record["operations"][place.id]["contract"] = "0" * 16
    return _made(record_of_another_contract, place, _written(record))


@drift()
def record_of_nothing(sources: Sources, place: Place, random: Random) -> Mutation | None:
    record = _record(sources)
    if record is None:
        return None
    record["operations"][f"{place.id}Once"] = record["operations"][place.id]
    return _made(record_of_nothing, place, _written(record), f"{place.id}Once")
