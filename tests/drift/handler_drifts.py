"""Drift that begins in the handlers, and in the table of scopes."""

import ast
import re
from random import Random
from typing import Any

from tests.drift.kinds import drift
from tests.drift.sources import SCOPES, Edits, Mutation, Place, Sources, chosen, offset


def _made(kind: Any, place: Place, edits: Edits, word: str = "", *, wide: bool = False) -> Mutation:
    return Mutation(kind.__name__, place.id, edits, word or place.id, wide)


def _renamed(sources: Sources, path: str, function: Any, new: str) -> Edits:
    text = sources.texts[path]
    at = offset(text, function.lineno, function.col_offset)
    head = f"async def {function.name}"
    assert text[at:].startswith(head)
    return {path: text[:at] + f"async def {new}" + text[at + len(head) :]}


def _without(sources: Sources, path: str, function: Any) -> Edits:
    lines = sources.texts[path].splitlines(keepends=True)
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    return {path: "".join(lines[: first - 1] + lines[function.end_lineno :])}


def _arguments(function: Any) -> list[ast.arg]:
    arguments = function.args
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


@drift()
def handler_renamed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    return _made(handler_renamed, place, _renamed(sources, path, function, function.name + "_now"))


@drift()
def handler_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    return _made(handler_removed, place, _without(sources, path, function))


@drift()
def handler_without_contract(sources: Sources, place: Place, random: Random) -> Mutation | None:
    """A handler-like function that no operation leads to."""
    path, function = sources.handlers[place.id]
    text = sources.texts[path]
    added = (
        f"\n\nasync def {function.name}_too(id_: str, user: Principal) -> Reply:\n"
        '    """Answer what nobody asks."""\n    return {}, 200\n'
    )
    return _made(handler_without_contract, place, {path: text + added}, f"{function.name}_too")


@drift()
def handler_twice(sources: Sources, place: Place, random: Random) -> Mutation:
    path, function = sources.handlers[place.id]
    other = random.choice([each for each, _ in sources.handlers.values() if each != path])
    copied = sources.segment(path, function)
    return _made(handler_twice, place, {other: sources.texts[other] + f"\n\n{copied}\n"})


@drift()
def handler_no_longer_async(sources: Sources, place: Place, random: Random) -> Mutation:
    path, function = sources.handlers[place.id]
    text = sources.texts[path]
    at = offset(text, function.lineno, function.col_offset)
    edits = {path: text[:at] + text[at + len("async ") :]}
    return _made(handler_no_longer_async, place, edits)


@drift()
def argument_added(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    text = sources.texts[path]
    at = text.index("(", offset(text, function.lineno, function.col_offset)) + 1
    comma = ", " if _arguments(function) else ""
    edits = {path: f"{text[:at]}verbosity: str{comma}{text[at:]}"}
    return _made(argument_added, place, edits)


@drift()
def argument_with_default_added(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    if not function.args.args or function.args.kwonlyargs or function.args.defaults:
        return None
    last = function.args.args[-1]
    new = sources.segment(path, last) + ', verbosity: str = "low"'
    return _made(argument_with_default_added, place, sources.spliced(path, last, new))


@drift()
def argument_renamed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    path, function = sources.handlers[place.id]
    argument = chosen(random, list(_arguments(function)))
    if argument is None:
        return None
    names = [
        node
        for node in ast.walk(function)
        if (isinstance(node, ast.Name) and node.id == argument.arg)
    ]
    text = sources.texts[path]
    spots = [offset(text, node.lineno, node.col_offset) for node in [argument, *names]]
    for spot in sorted(spots, reverse=True):
        text = text[:spot] + argument.arg + "_given" + text[spot + len(argument.arg) :]
    return _made(argument_renamed, place, {path: text})


@drift()
def argument_dropped(sources: Sources, place: Place, random: Random) -> Mutation | None:
    """The handler takes a parameter or the body no longer; a local stands in its place."""
    path, function = sources.handlers[place.id]
    # A header may stay with the framework: nobody has to take it.
    headers = {"x_rensei_org", "x_rensei_project", "if_match", "if_none_match"}
    headers |= {"user", "request", "last_event_id", "idempotency_key", "referer"}
    droppable = [each for each in _arguments(function) if each.arg not in headers]
    argument = chosen(random, droppable)
    if argument is None:
        return None
    kept = [each for each in function.args.args if each is not argument]
    kept_only = [each for each in function.args.kwonlyargs if each is not argument]
    if function.args.defaults or any(function.args.kw_defaults):
        return None
    text = sources.texts[path]
    written = ", ".join(sources.segment(path, each) for each in kept)
    if kept_only:
        written += ", *, " + ", ".join(sources.segment(path, each) for each in kept_only)
    start = offset(text, function.lineno, function.col_offset) + len(f"async def {function.name}(")
    end = text.index(")", offset(text, _last(function).end_lineno, _last(function).end_col_offset))
    body = function.body[1] if len(function.body) > 1 else function.body[0]
    body_at = offset(text, body.lineno, 0)
    text = text[:body_at] + f"    {argument.arg}: Any = None\n" + text[body_at:]
    return _made(argument_dropped, place, {path: text[:start] + written.lstrip(", ") + text[end:]})


def _last(function: Any) -> Any:
    return max(_arguments(function), key=lambda each: (each.lineno, each.col_offset))


def _status_nodes(function: Any) -> list[ast.Constant]:
    return [
        node.value.elts[1]
        for node in ast.walk(function)
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and len(node.value.elts) > 1
        and isinstance(node.value.elts[1], ast.Constant)
        and isinstance(node.value.elts[1].value, int)
    ]


@drift()
def handler_answers_another_status(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    path, function = sources.handlers[place.id]
    node = chosen(random, _status_nodes(function))
    if node is None:
        return None
    new = "203" if node.value != 203 else "200"
    return _made(handler_answers_another_status, place, sources.spliced(path, node, new))


@drift()
def handler_answers_an_unknown_member(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    path, function = sources.handlers[place.id]
    answers = [
        node.value.elts[0]
        for node in ast.walk(function)
        if isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and isinstance(node.value.elts[0], ast.Dict)
    ]
    node = chosen(random, answers)
    if node is None:
        return None
    text = sources.texts[path]
    at = offset(text, node.lineno, node.col_offset) + 1
    return _made(
        handler_answers_an_unknown_member,
        place,
        {path: text[:at] + '"unheardOf": 1, ' + text[at:]},
    )


@drift()
def handler_reads_an_unknown_member(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    path, function = sources.handlers[place.id]
    reads = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "body"
        and isinstance(node.slice, ast.Constant)
    ]
    reads += [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "body"
    ]
    node = chosen(random, reads)
    if node is None:
        return None
    body = sources.resolved(sources.item(place)[1].get("requestBody", {}))
    schemas = [sources.resolved(each.get("schema", {})) for each in body["content"].values()]
    if not all("properties" in each for each in schemas):
        return None  # a provider's own, of which the contract names no member
    name = node.slice if isinstance(node, ast.Subscript) else node.args[0]
    if not isinstance(name, ast.Constant):
        return None
    return _made(handler_reads_an_unknown_member, place, sources.spliced(path, name, '"unheardOf"'))


@drift()
def handler_ignores_a_parameter(sources: Sources, place: Place, random: Random) -> Mutation | None:
    """It is taken, and every use of it is a constant now."""
    path, function = sources.handlers[place.id]
    taken = [each.arg for each in _arguments(function) if each.arg not in {"user", "request"}]
    used = [
        name
        for name in taken
        if any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function))
    ]
    name = chosen(random, used)
    if name is None:
        return None
    text = sources.texts[path]
    spots = [
        offset(text, node.lineno, node.col_offset)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == name
    ]
    for spot in sorted(spots, reverse=True):
        text = text[:spot] + "None" + text[spot + len(name) :]
    return _made(handler_ignores_a_parameter, place, {path: text})


@drift()
def module_that_does_not_parse(sources: Sources, place: Place, random: Random) -> Mutation:
    path, function = sources.handlers[place.id]
    lines = sources.texts[path].splitlines(keepends=True)
    lines.insert(function.lineno - 1, "async def (:\n")
    return _made(module_that_does_not_parse, place, {path: "".join(lines)}, path, wide=True)


# --- scopes ---


def _entry(sources: Sources, place: Place) -> tuple[ast.Constant, ast.Call]:
    for node in ast.walk(sources.module(SCOPES)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == place.id:
                    assert isinstance(value, ast.Call)
                    return key, value
    raise KeyError(place.id)


@drift()
def rule_removed(sources: Sources, place: Place, random: Random) -> Mutation:
    key, value = _entry(sources, place)
    lines = sources.texts[SCOPES].splitlines(keepends=True)
    assert value.end_lineno
    left = "".join(lines[: key.lineno - 1] + lines[value.end_lineno :])
    return _made(rule_removed, place, {SCOPES: left})


@drift()
def rule_of_nothing(sources: Sources, place: Place, random: Random) -> Mutation:
    key, _ = _entry(sources, place)
    lines = sources.texts[SCOPES].splitlines(keepends=True)
    lines.insert(key.lineno - 1, f'    "{place.id}Long": Rule("sessions:read", READERS),\n')
    return _made(rule_of_nothing, place, {SCOPES: "".join(lines)}, f"{place.id}Long")


@drift()
def rule_misspelled(sources: Sources, place: Place, random: Random) -> Mutation:
    key, _ = _entry(sources, place)
    wrong = place.id[:-2] + place.id[-1] + place.id[-2]
    wrong = wrong if wrong != place.id else place.id + "s"
    return _made(rule_misspelled, place, sources.spliced(SCOPES, key, f'"{wrong}"'))


@drift(14)
def rule_with_another_scope(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, value = _entry(sources, place)
    scope = value.args[0]
    if not isinstance(scope, ast.Constant):
        return None
    new = random.choice(
        [each for each in ("audit:read", "worker:poll", "org:write") if each != scope.value]
    )
    return _made(rule_with_another_scope, place, sources.spliced(SCOPES, scope, f'"{new}"'))


@drift(14)
def rule_for_other_kinds(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, value = _entry(sources, place)
    if len(value.args) < 2:
        return None
    now = sources.segment(SCOPES, value.args[1])
    new = random.choice(
        [each for each in ("KEYS", "MANAGERS", "RUNTIME_ONLY", "READERS") if each != now]
    )
    return _made(rule_for_other_kinds, place, sources.spliced(SCOPES, value.args[1], new))


@drift()
def rule_opened_to_anybody(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, value = _entry(sources, place)
    if any(each.arg == "anonymous" for each in value.keywords):
        return None
    new = sources.segment(SCOPES, value)[:-1].rstrip().rstrip(",") + ", anonymous=True)"
    return _made(rule_opened_to_anybody, place, sources.spliced(SCOPES, value, new))


@drift()
def rule_for_workers_too(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, value = _entry(sources, place)
    if any(each.arg == "worker_scope" for each in value.keywords):
        return None
    new = (
        sources.segment(SCOPES, value)[:-1].rstrip().rstrip(",")
        + ', worker_scope="worker:session")'
    )
    return _made(rule_for_workers_too, place, sources.spliced(SCOPES, value, new))


@drift()
def rule_twice(sources: Sources, place: Place, random: Random) -> Mutation:
    """Python keeps the last of two equal keys, silently."""
    key, _ = _entry(sources, place)
    lines = sources.texts[SCOPES].splitlines(keepends=True)
    lines.insert(key.lineno - 1, f'    "{place.id}": Rule("sessions:read", READERS),\n')
    return _made(rule_twice, place, {SCOPES: "".join(lines)})


@drift(4)
def group_of_kinds_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, value = _entry(sources, place)
    if len(value.args) < 2:
        return None
    name = sources.segment(SCOPES, value.args[1])
    found = re.search(rf"^{re.escape(name)}: Final = (.*)$", sources.texts[SCOPES], re.MULTILINE)
    if not found:
        return None
    gone = "frozenset({Kind.SYSTEM})" if "SYSTEM" not in name else "frozenset({Kind.AGENT})"
    text = sources.texts[SCOPES]
    new = text[: found.start(1)] + gone + text[found.end(1) :]
    return _made(group_of_kinds_changed, place, {SCOPES: new}, wide=True)
