"""Edits after which everything agrees as before."""

import ast
import json
import re
from random import Random
from typing import Any

from tests.drift.kinds import harmless
from tests.drift.sources import (
    RECORD,
    SCOPES,
    SPEC,
    Edits,
    Mutation,
    Place,
    Sources,
    chosen,
    offset,
)


def _made(kind: Any, place: Place, edits: Edits) -> Mutation:
    return Mutation(kind.__name__, place.id, edits)


@harmless()
def contract_comment(sources: Sources, place: Place, random: Random) -> Mutation:
    text = sources.texts[SPEC]
    at = text.index(f"\n  {place.path}:\n") + 1
    new = text[:at] + "  # Nothing of importance.\n\n" + text[at:]
    return _made(contract_comment, place, {SPEC: new})


@harmless(8)
def contract_reformatted(sources: Sources, place: Place, random: Random) -> Mutation:
    """Block style where there was flow style, other quotes, other folds."""
    return _made(contract_reformatted, place, sources.with_item(place, sources.item(place)[0]))


@harmless(8)
def contract_members_in_another_order(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    names = list(operation)
    random.shuffle(names)
    item[place.method] = {name: operation[name] for name in names}
    return _made(contract_members_in_another_order, place, sources.with_item(place, item))


@harmless()
def required_in_another_order(sources: Sources, place: Place, random: Random) -> Mutation | None:
    names = [
        name
        for name, node in sources.spec["components"]["schemas"].items()
        if len(node.get("required", [])) > 2
    ]
    name = random.choice(names)
    node = sources.component("schemas", name)
    node["required"].reverse()
    return _made(required_in_another_order, place, sources.with_component("schemas", name, node))


@harmless()
def handler_comment(sources: Sources, place: Place, random: Random) -> Mutation:
    path, function = sources.handlers[place.id]
    lines = sources.texts[path].splitlines(keepends=True)
    lines.insert(function.lineno - 1, "# It is as it was.\n")
    return _made(handler_comment, place, {path: "".join(lines)})


@harmless()
def handler_docstring(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    first = function.body[0]
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return None
    return _made(
        handler_docstring, place, sources.spliced(path, first, '"""Do what the contract says."""')
    )


@harmless()
def handler_local_renamed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    stored = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    name = chosen(random, sorted(stored - {"_"}))
    if name is None:
        return None
    text = sources.texts[path]
    spots = [
        offset(text, node.lineno, node.col_offset)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == name
    ]
    for spot in sorted(spots, reverse=True):
        text = text[:spot] + f"{name}_" + text[spot + len(name) :]
    return _made(handler_local_renamed, place, {path: text})


@harmless()
def handler_split_in_two(sources: Sources, place: Place, random: Random) -> Mutation | None:
    """What the handler did is done by a private function that it calls."""
    path, function = sources.handlers[place.id]
    arguments = function.args
    if arguments.defaults or arguments.posonlyargs or function.decorator_list:
        return None
    text = sources.texts[path]
    start = offset(text, function.lineno, function.col_offset)
    head = f"async def {function.name}("
    body_start = offset(text, function.body[0].lineno, 0)
    signature = text[start:body_start]
    names = [each.arg for each in arguments.args]
    passed = ", ".join(names + [f"{each.arg}={each.arg}" for each in arguments.kwonlyargs])
    new = (
        f"{signature}    return await _done_by_{function.name}({passed})\n\n\n"
        f"async def _done_by_{function.name}({signature[len(head) :]}"
    )
    return _made(handler_split_in_two, place, {path: text[:start] + new + text[body_start:]})


@harmless()
def handler_arguments_in_another_order(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    path, function = sources.handlers[place.id]
    args = function.args
    if len(args.args) < 2 or args.kwonlyargs or args.defaults:
        return None
    text = sources.texts[path]
    start = offset(text, args.args[0].lineno, args.args[0].col_offset)
    last = args.args[-1]
    end = offset(text, last.end_lineno, last.end_col_offset)
    written = ", ".join(sources.segment(path, each) for each in reversed(args.args))
    return _made(
        handler_arguments_in_another_order, place, {path: text[:start] + written + text[end:]}
    )


@harmless()
def handlers_in_another_order(sources: Sources, place: Place, random: Random) -> Mutation:
    """The handler stands at the end of its module."""
    path, function = sources.handlers[place.id]
    lines = sources.texts[path].splitlines(keepends=True)
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    moved = lines[first - 1 : function.end_lineno]
    left = lines[: first - 1] + lines[function.end_lineno :]
    return _made(handlers_in_another_order, place, {path: "".join(left) + "\n\n" + "".join(moved)})


@harmless()
def helper_added(sources: Sources, place: Place, random: Random) -> Mutation:
    path, _ = sources.handlers[place.id]
    new = sources.texts[path] + (
        '\n\ndef _told(row: Any) -> str:\n    """A helper."""\n    return str(row)\n'
    )
    return _made(helper_added, place, {path: new})


@harmless()
def rule_on_several_lines(sources: Sources, place: Place, random: Random) -> Mutation | None:
    text = sources.texts[SCOPES]
    found = re.search(rf'^    "{place.id}": Rule\((.*)\),$', text, re.MULTILINE)
    if not found:
        return None
    new = f'    "{place.id}": Rule(  # as before\n        {found[1]},\n    ),'
    return _made(
        rule_on_several_lines, place, {SCOPES: text[: found.start()] + new + text[found.end() :]}
    )


@harmless()
def rules_in_another_order(sources: Sources, place: Place, random: Random) -> Mutation | None:
    text = sources.texts[SCOPES]
    found = re.search(rf'^    "{place.id}": Rule\(.*\),(?:  #.*)?\n', text, re.MULTILINE)
    if not found:
        return None
    left = text[: found.start()] + text[found.end() :]
    at = left.index("RULES: Final")
    at = left.index("\n", at) + 1
    return _made(rules_in_another_order, place, {SCOPES: left[:at] + found[0] + left[at:]})


@harmless(4)
def group_of_kinds_spelled_out(sources: Sources, place: Place, random: Random) -> Mutation:
    text = sources.texts[SCOPES].replace(
        "MANAGERS_AND_SYSTEM: Final = MANAGERS | {Kind.SYSTEM}",
        "MANAGERS_AND_SYSTEM: Final = frozenset(\n"
        "    {Kind.SYSTEM, Kind.COOKIE, Kind.M2M, Kind.ORG_KEY}\n)",
    )
    return _made(group_of_kinds_spelled_out, place, {SCOPES: text})


@harmless()
def test_added(sources: Sources, place: Place, random: Random) -> Mutation:
    new = f"async def test_{place.id.lower()}_again(client):\n    assert client\n"
    return _made(test_added, place, {f"tests/handlers/test_{place.id.lower()}_more.py": new})


@harmless(4)
def note_elsewhere(sources: Sources, place: Place, random: Random) -> Mutation:
    path = random.choice(
        ["CHANGELOG.md", "docs/decisions/0001-security-is-one-question.md", "persistence/queue.py"]
    )
    more = "\n# More.\n" if path.endswith(".py") else f"\nMore about `{place.id}x`.\n"
    return _made(note_elsewhere, place, {path: sources.texts[path] + more})


@harmless(4)
def readme_prose(sources: Sources, place: Place, random: Random) -> Mutation:
    return _made(
        readme_prose, place, {"README.md": sources.texts["README.md"] + "\nHave a good day.\n"}
    )


@harmless(4)
def setting_reworded_in_code(sources: Sources, place: Place, random: Random) -> Mutation:
    new = sources.texts["settings.py"].replace("class Secret:", "class Secret:  # as ever", 1)
    return _made(setting_reworded_in_code, place, {"settings.py": new})


@harmless(4)
def record_reformatted(sources: Sources, place: Place, random: Random) -> Mutation | None:
    text = sources.texts.get(RECORD)
    if text is None:
        return None
    record = json.loads(text)
    record["operations"] = dict(sorted(record["operations"].items(), reverse=True))
    return _made(record_reformatted, place, {RECORD: json.dumps(record)})
