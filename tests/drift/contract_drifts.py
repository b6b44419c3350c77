"""Drift that begins in the contract."""

import re
from random import Random
from typing import Any

from tests.drift.kinds import drift
from tests.drift.sources import SPEC, Edits, Mutation, Place, Sources, chosen, dumped

JSON = "application/json"


def _made(kind: Any, place: Place, edits: Edits, word: str = "", *, wide: bool = False) -> Mutation:
    return Mutation(kind.__name__, place.id, edits, word or place.id, wide)


def _answer(sources: Sources, operation: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The first 2xx with a body, as it stands in the operation itself."""
    for status, response in operation["responses"].items():
        if status.startswith("2") and "content" in response:
            return status, response
    return None


def _component(node: Any) -> str | None:
    ref = node.get("$ref", "") if isinstance(node, dict) else ""
    return ref.rpartition("/")[2] if "/schemas/" in ref else None


def _answer_component(sources: Sources, operation: dict[str, Any]) -> tuple[str, Any] | None:
    found = _answer(sources, operation)
    if found is None:
        return None
    name = _component(next(iter(found[1]["content"].values())).get("schema", {}))
    if name is None:
        return None
    node = sources.component("schemas", name)
    return (name, node) if "properties" in node else None


def _request_component(sources: Sources, operation: dict[str, Any]) -> tuple[str, Any] | None:
    body = sources.resolved(operation.get("requestBody", {}))
    for media in body.get("content", {}).values():
        name = _component(media.get("schema", {}))
        if name is not None:
            node = sources.component("schemas", name)
            if "properties" in node:
                return name, node
    return None


def _own(item: Any, operation: Any, where: str) -> list[dict[str, Any]]:
    both = operation.get("parameters", []) + item.get("parameters", [])
    return [each for each in both if each.get("in") == where]


@drift()
def operation_renamed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation["operationId"] = f"{place.id}Anew"
    return _made(operation_renamed, place, sources.with_item(place, item), operation["operationId"])


@drift()
def operation_removed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, _ = sources.item(place)
    del item[place.method]
    left = item if set(item) - {"parameters"} else None
    return _made(operation_removed, place, sources.with_item(place, left))


@drift()
def operation_without_code(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation["operationId"] = f"{place.id}Twice"
    new = {key: item[key] for key in ("parameters", place.method) if key in item}
    text = sources.texts[SPEC]
    at = text.index(f"\n  {place.path}:\n") + 1
    both = text[:at] + dumped({f"{place.path}/twice": new}, 2) + "\n" + text[at:]
    return _made(operation_without_code, place, {SPEC: both}, f"{place.id}Twice")


@drift()
def path_changed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, _ = sources.item(place)
    head, _, tail = place.path.rpartition("/")
    new = f"{place.path}/again" if "{" in tail else f"{head}/{tail}s"
    return _made(path_changed, place, sources.with_item(place, item, new))


@drift()
def method_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    free = [each for each in ("put", "patch", "post", "get", "delete") if each not in item]
    if "requestBody" in operation:
        free = [each for each in free if each not in {"get", "delete"}]
    del item[place.method]
    item[free[0]] = operation
    return _made(method_changed, place, sources.with_item(place, item))


@drift()
def path_parameter_renamed_in_the_path_alone(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    name = chosen(random, re.findall(r"{(\w+)}", place.path))
    if name is None:
        return None
    item, _ = sources.item(place)
    new = place.path.replace(f"{{{name}}}", f"{{{name}Renamed}}")
    return _made(
        path_parameter_renamed_in_the_path_alone, place, sources.with_item(place, item, new)
    )


@drift()
def parameter_added(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation.setdefault("parameters", []).append(
        {
            "name": random.choice(["verbose", "since", "region", "X-Rensei-Trace"]),
            "in": "query",
            "description": "Something new.",
            "schema": {"type": "string", "maxLength": 20},
        }
    )
    return _made(parameter_added, place, sources.with_item(place, item))


@drift()
def parameter_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    removable = [
        each for each in operation.get("parameters", []) if sources.resolved(each)["in"] != "path"
    ]
    if not removable:
        return None
    operation["parameters"].remove(random.choice(removable))
    return _made(parameter_removed, place, sources.with_item(place, item))


@drift()
def parameter_renamed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    parameter = chosen(random, _own(item, operation, "query"))
    if parameter is None:
        return None
    parameter["name"] += "Of"
    return _made(parameter_renamed, place, sources.with_item(place, item))


@drift()
def parameter_made_required(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    parameter = chosen(
        random, [each for each in _own(item, operation, "query") if not each.get("required")]
    )
    if parameter is None:
        return None
    parameter["required"] = True
    return _made(parameter_made_required, place, sources.with_item(place, item))


@drift()
def parameter_of_another_type(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    parameter = chosen(random, _own(item, operation, "query"))
    if parameter is None:
        return None
    now = sources.resolved(parameter["schema"]).get("type")
    parameter["schema"] = {"type": "boolean" if now != "boolean" else "integer"}
    parameter.pop("example", None)
    return _made(parameter_of_another_type, place, sources.with_item(place, item))


@drift()
def parameter_bounds_narrowed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    bounded = [
        each
        for each in _own(item, operation, "query")
        if {"maximum", "maxLength"} & set(each["schema"])
    ]
    parameter = chosen(random, bounded)
    if parameter is None:
        return None
    for bound in {"maximum", "maxLength"} & set(parameter["schema"]):
        parameter["schema"][bound] -= 1
    return _made(parameter_bounds_narrowed, place, sources.with_item(place, item))


@drift()
def parameter_default_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    numbers = [
        each
        for each in _own(item, operation, "query")
        if isinstance(each["schema"].get("default"), int)
        and not isinstance(each["schema"]["default"], bool)
    ]
    parameter = chosen(random, numbers)
    if parameter is None:
        return None
    parameter["schema"]["default"] += 1
    return _made(parameter_default_changed, place, sources.with_item(place, item))


@drift()
def request_member_added_as_required(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    found = _request_component(sources, sources.item(place)[1])
    if found is None:
        return None
    name, node = found
    node["properties"]["newcomer"] = {"type": "string", "minLength": 1}
    node.setdefault("required", []).append("newcomer")
    return _made(
        request_member_added_as_required,
        place,
        sources.with_component("schemas", name, node),
        wide=True,
    )


@drift()
def request_member_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _request_component(sources, sources.item(place)[1])
    if found is None:
        return None
    name, node = found
    gone = random.choice(list(node["properties"]))
    del node["properties"][gone]
    if gone in node.get("required", []):
        node["required"].remove(gone)
        if not node["required"]:
            del node["required"]
    return _made(
        request_member_removed, place, sources.with_component("schemas", name, node), wide=True
    )


@drift()
def request_body_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    if operation.pop("requestBody", None) is None:
        return None
    return _made(request_body_removed, place, sources.with_item(place, item))


@drift()
def request_body_added(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    if "requestBody" in operation or place.method in {"get", "delete"}:
        return None
    operation["requestBody"] = {"required": True, "content": {JSON: {"schema": {"type": "object"}}}}
    return _made(request_body_added, place, sources.with_item(place, item))


@drift()
def request_media_type_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    content = operation.get("requestBody", {}).get("content", {})
    if JSON not in content:
        return None
    content["application/cbor"] = content.pop(JSON)
    return _made(request_media_type_changed, place, sources.with_item(place, item))


@drift()
def success_status_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    now = [status for status in operation["responses"] if status.startswith("2")]
    status = random.choice(now)
    free = [each for each in ("200", "201", "202", "203") if each not in now]
    operation["responses"] = {
        (free[0] if each == status else each): response
        for each, response in operation["responses"].items()
    }
    return _made(success_status_changed, place, sources.with_item(place, item))


@drift()
def refusal_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    gone = chosen(random, [each for each in operation["responses"] if each.startswith("4")])
    if gone is None:
        return None
    del operation["responses"][gone]
    return _made(refusal_removed, place, sources.with_item(place, item))


@drift()
def refusal_documented_that_never_comes(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation["responses"]["410"] = {"$ref": "#/components/responses/NotFound"}
    return _made(refusal_documented_that_never_comes, place, sources.with_item(place, item))


@drift()
def default_refusal_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    if operation["responses"].pop("default", None) is None:
        return None
    return _made(default_refusal_removed, place, sources.with_item(place, item))


@drift()
def response_media_type_changed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    if found is None:
        return None
    content = found[1]["content"]
    kind = random.choice(list(content))
    content["application/vnd.rensei+json"] = content.pop(kind)
    return _made(response_media_type_changed, place, sources.with_item(place, item))


@drift()
def response_schema_replaced(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    if found is None:
        return None
    media = next(iter(found[1]["content"].values()))
    new = {"$ref": "#/components/schemas/Revoked"}
    if media.get("schema") == new:
        return None
    media["schema"] = new
    return _made(response_schema_replaced, place, sources.with_item(place, item))


@drift()
def response_member_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _answer_component(sources, sources.item(place)[1])
    if found is None:
        return None
    name, node = found
    gone = random.choice(list(node["properties"]))
    del node["properties"][gone]
    node["required"] = [each for each in node.get("required", []) if each != gone]
    if not node["required"]:
        del node["required"]
    return _made(
        response_member_removed, place, sources.with_component("schemas", name, node), wide=True
    )


@drift()
def response_member_made_optional(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    found = _answer_component(sources, sources.item(place)[1])
    if found is None or not found[1].get("required"):
        return None
    name, node = found
    node["required"].remove(random.choice(node["required"]))
    if not node["required"]:
        del node["required"]
    return _made(
        response_member_made_optional,
        place,
        sources.with_component("schemas", name, node),
        wide=True,
    )


@drift()
def response_member_of_another_type(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    found = _answer_component(sources, sources.item(place)[1])
    if found is None:
        return None
    name, node = found
    changed = random.choice(list(node["properties"]))
    now = sources.resolved(node["properties"][changed]).get("type")
    node["properties"][changed] = {"type": "integer" if now == "string" else "string"}
    return _made(
        response_member_of_another_type,
        place,
        sources.with_component("schemas", name, node),
        wide=True,
    )


@drift()
def answer_opened(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _answer_component(sources, sources.item(place)[1])
    if found is None or found[1].get("additionalProperties") is not False:
        return None
    name, node = found
    node["additionalProperties"] = True
    return _made(answer_opened, place, sources.with_component("schemas", name, node), wide=True)


@drift()
def request_closed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    found = _request_component(sources, sources.item(place)[1])
    if found is None or found[1].get("additionalProperties") is False:
        return None
    name, node = found
    node["additionalProperties"] = False
    return _made(request_closed, place, sources.with_component("schemas", name, node), wide=True)


@drift()
def enum_widened(sources: Sources, place: Place, random: Random) -> Mutation | None:
    _, operation = sources.item(place)
    for found in (_answer_component(sources, operation), _request_component(sources, operation)):
        if found is None:
            continue
        name, node = found
        listed = [each for each in node["properties"].values() if "enum" in each]
        if listed:
            random.choice(listed)["enum"].append("surprising")
            return _made(
                enum_widened, place, sources.with_component("schemas", name, node), wide=True
            )
    return None


@drift()
def security_changed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    now = operation.get("security")
    choices: list[Any] = [[], [{"cookieAuth": []}], [{"batchJwt": []}], [{"mcpToken": []}]]
    operation["security"] = random.choice([each for each in choices if each != now])
    return _made(security_changed, place, sources.with_item(place, item))


@drift()
def permissions_line_names_another_scope(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    item, operation = sources.item(place)
    head, mark, line = operation["description"].rpartition("*Permissions:*")
    scopes = re.findall(r"`([a-z_]+:[a-z_]+|\*|system)`", line)
    if not mark or not scopes:
        return None
    new = "sessions:read" if scopes[0] != "sessions:read" else "audit:write"
    operation["description"] = head + mark + line.replace(f"`{scopes[0]}`", f"`{new}`", 1)
    return _made(permissions_line_names_another_scope, place, sources.with_item(place, item))


@drift()
def permissions_line_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    head, mark, _ = operation["description"].rpartition("*Permissions:*")
    if not mark or not head.strip():
        return None
    operation["description"] = head.strip() + "\n"
    return _made(permissions_line_removed, place, sources.with_item(place, item))


@drift()
def response_example_broken(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    media = next(iter(found[1]["content"].values())) if found else {}
    if not isinstance(media.get("example"), dict) or not media["example"]:
        return None
    media["example"][random.choice(list(media["example"]))] = {"wrong": [True]}
    return _made(response_example_broken, place, sources.with_item(place, item))


@drift()
def response_example_with_unknown_member(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    media = next(iter(found[1]["content"].values())) if found else {}
    if not isinstance(media.get("example"), dict):
        return None
    media["example"]["unheardOf"] = 1
    return _made(response_example_with_unknown_member, place, sources.with_item(place, item))


@drift()
def request_example_lacks_a_member(
    sources: Sources, place: Place, random: Random
) -> Mutation | None:
    item, operation = sources.item(place)
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schema = sources.resolved(media.get("schema", {}))
        needed = [each for each in schema.get("required", []) if each in media.get("example", {})]
        if needed:
            del media["example"][random.choice(needed)]
            return _made(request_example_lacks_a_member, place, sources.with_item(place, item))
    return None


@drift()
def example_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    media = next(iter(found[1]["content"].values())) if found else {}
    if "example" not in media:
        return None
    del media["example"]
    return _made(example_removed, place, sources.with_item(place, item))


@drift()
def summary_changed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation["summary"] += " now"
    return _made(summary_changed, place, sources.with_item(place, item))


@drift()
def description_changed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    operation["description"] = "From today on all is different. " + operation["description"]
    return _made(description_changed, place, sources.with_item(place, item))


@drift()
def tag_changed(sources: Sources, place: Place, random: Random) -> Mutation:
    item, operation = sources.item(place)
    others = [each["name"] for each in sources.spec["tags"] if [each["name"]] != operation["tags"]]
    operation["tags"] = [random.choice(others)]
    return _made(tag_changed, place, sources.with_item(place, item))


@drift()
def reference_to_nothing(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    found = _answer(sources, operation)
    if found is None:
        return None
    media = next(iter(found[1]["content"].values()))
    media["schema"] = {"$ref": "#/components/schemas/Nowhere"}
    return _made(reference_to_nothing, place, sources.with_item(place, item))


@drift()
def operation_id_twice(sources: Sources, place: Place, random: Random) -> Mutation:
    other = random.choice([each for each in sources.places if each.path != place.path])
    item, operation = sources.item(place)
    operation["operationId"] = other.id
    return _made(operation_id_twice, place, sources.with_item(place, item), other.id)


@drift()
def response_header_removed(sources: Sources, place: Place, random: Random) -> Mutation | None:
    item, operation = sources.item(place)
    for status, response in operation["responses"].items():
        if status.startswith(("2", "3")) and response.get("headers"):
            del response["headers"][random.choice(list(response["headers"]))]
            if not response["headers"]:
                del response["headers"]
            return _made(response_header_removed, place, sources.with_item(place, item))
    return None
