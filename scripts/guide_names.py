"""Whether what the guides name is there: operations, paths, headers, members, scopes, settings."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from contract import Contract
from contract.references import resolved
from scripts.permissions import Rule
from scripts.tree import Tree

LEFT_OUT: Final = frozenset({"docs/scopes.md", "docs/adding-an-operation.md"})
"""What is generated, and what tells of an operation that never was."""

_PATH: Final = re.compile(
    r"(?:\b(?P<method>GET|POST|PUT|PATCH|DELETE|HEAD) )?"
    r"(?P<host>https?://[\w.:${}-]+|\$\{?\w+\}?)?"
    r"(?<![\w.…/])(?P<path>/(?:api|v1|\.well-known)/[^\s\"'`?)|,;#…*\\]*)"
)
_PAGE: Final = re.compile(r"/docs/api/reference/[\w-]+/(\w+)")
_CODE: Final = re.compile(r"`([^`\n]+)`")
_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CAMEL: Final = re.compile(r"[a-z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+")
_HEADER: Final = re.compile(r"(?:[A-Z][a-z0-9]*|ETag)(?:-[A-Z]{1,3}[a-z0-9]*)*(?<!-)")
_FIGURE: Final = re.compile(r"^```(?:sequence|states)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LONG_HEADER: Final = re.compile(r"(?<![\w-])[A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)+(?![\w-])")
_SENT: Final = re.compile(r"-H \"?'?([A-Za-z-]+):")
_SCOPE: Final = re.compile(r"[a-z][a-z_0-9]*:[a-z_]+")
_SETTING: Final = re.compile(
    r"\b(?:RENSEI|WEBHOOK|LINEAR|GITHUB|WORKER|ROUTING|M2M)_[A-Z0-9_]*[A-Z0-9]\b"
)
_LINK: Final = re.compile(r"\]\(((?:[^()\s]|\([^()\s]*\))+)\)")
_ROW: Final = re.compile(r"^\| [^`].*\|$", re.MULTILINE)
_FILE: Final = re.compile(r"[\w.-]+/[\w/.-]*")
_FRONT: Final = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)

STANDARD: Final = frozenset(
    {
        "Accept", "Allow", "Authorization", "Cache-Control", "Content-Type", "Cookie", "ETag",
        "Host", "If-Match", "If-None-Match", "Last-Event-ID", "Link", "Location", "Origin",
        "Referer", "Retry-After", "Set-Cookie", "User-Agent", "WWW-Authenticate",
        "X-Forwarded-For", "Linear-Signature", "X-Linear-Signature", "X-Vercel-Signature",
        "X-GitHub-Event", "X-Hub-Signature-256", "X-GitHub-Delivery", "Linear-Delivery",
        "X-Request-Id",
    }
)  # fmt: skip
"""Headers of HTTP and of the providers, which no operation has to declare."""


@dataclass(frozen=True)
class Names:
    """What a guide may name."""

    operations: frozenset[str]
    paths: Mapping[str, frozenset[str]]  # template -> methods
    headers: frozenset[str]
    words: frozenset[str]  # every word of the contract
    scopes: frozenset[str]
    settings: frozenset[str]


def names(
    contract: Contract, text: str, rules: Mapping[str, Rule], settings: frozenset[str]
) -> Names:
    """All that the contract, its text, the table of scopes and the settings have."""
    methods: dict[str, frozenset[str]] = {}
    headers: set[str] = set()
    for operation in contract.operations:
        methods[operation.path] = methods.get(operation.path, frozenset()) | {operation.method}
        headers |= {each["name"] for each in operation.parameters if each["in"] == "header"}
        for response in operation.raw.get("responses", {}).values():
            headers |= set(resolved(contract.spec, response).get("headers", {}))
    return Names(
        operations=frozenset(each.id for each in contract.operations),
        paths=methods,
        headers=frozenset(each.lower() for each in headers | STANDARD),
        words=frozenset(re.findall(r"\w+", text)),
        scopes=frozenset(
            scope for rule in rules.values() for scope in (rule.scope, rule.worker_scope) if scope
        ),
        settings=settings,
    )


def guides(tree: Tree) -> Iterator[str]:
    """README, and the pages of docs/ that are neither generated nor decisions of their day."""
    for path in tree:
        if path == "README.md" or (
            re.fullmatch(r"docs/(?:guides/)?[\w-]+\.md", path) and path not in LEFT_OUT
        ):
            yield path


def guide_differences(tree: Tree, known: Names) -> Iterator[str]:
    """Everything that a guide names and that is not there."""
    for path in guides(tree):
        for complaint in dict.fromkeys(_one(tree, path, known)):
            yield f"{path}: {complaint}"


def _one(tree: Tree, path: str, known: Names) -> Iterator[str]:
    text = tree[path]
    yield from _paths(text, known)
    yield from _links(tree, path, text)
    if path == "README.md":
        yield from _files(tree, text)
    for name in _PAGE.findall(text):
        if name not in known.operations:
            yield f"leads to the page of {name}, which is no operation; correct the name"
    for name in _front(text):
        if name not in known.operations:
            yield f"names the operation {name}, which is not in the contract; correct the name"
    prose = _FENCED.sub("", text)
    fenced = " ".join(_FENCED.findall(text))
    for code in _CODE.findall(prose):
        yield from _code(code, fenced, known)
    for header in _SENT.findall(text):
        if header.lower() not in known.headers:
            yield f"sends the header {header}, which no operation has; correct the name"
    for figure in _FIGURE.findall(text):
        for header in _LONG_HEADER.findall(figure):
            if header.lower() not in known.headers:
                yield f"draws the header {header}, which no operation has; correct the name"
    elsewhere = set(_SETTING.findall(fenced + tree.get("README.md", "")))
    for name in _SETTING.findall(_FENCED.sub("", text)):
        # What only a shell or a host of agents knows is set in a block of the guide.
        if name not in known.settings and (name not in elsewhere or path == "README.md"):
            yield f"names the setting {name}, which is none; correct the name"


def _paths(text: str, known: Names) -> Iterator[str]:
    for found in _PATH.finditer(text):
        path = found["path"].rstrip(".:")
        if path.endswith(("/", "-")):
            if not any(_begins(path, template) for template in known.paths):
                yield f"names paths that begin with {path}, which none does; correct it"
            continue
        methods = [each for template, each in known.paths.items() if _fits(path, template)]
        if not methods:
            yield f"names the path {path}, which no operation has; correct it"
        elif found["method"] and not any(found["method"] in each for each in methods):
            have = " or ".join(sorted(set().union(*methods)))
            yield f"names {found['method']} {path}, which takes {have}; correct the method"


def _begins(start: str, template: str) -> bool:
    """Whether a path is one of the family that is written as `/api/workers/*`."""
    *whole, last = start.split("/")
    parts = template.split("/")
    return (
        len(parts) > len(whole)
        and _fits("/".join(whole), "/".join(parts[: len(whole)]))
        and parts[len(whole)].startswith(last)
    )


def _fits(path: str, template: str) -> bool:
    parts, wanted = path.split("/"), template.split("/")
    return len(parts) == len(wanted) and all(
        want.startswith("{") or part == want for part, want in zip(parts, wanted, strict=True)
    )


def _links(tree: Tree, path: str, text: str) -> Iterator[str]:
    for link in _LINK.findall(text):
        target = link.partition("#")[0]
        if not target or "://" in target or target.startswith(("mailto:", "/")):
            continue
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not _is_there(tree, there):
            yield f"links to {link}, which is not there; correct the link"


def _files(tree: Tree, text: str) -> Iterator[str]:
    """Files and folders that the README's tables lead to."""
    for row in _ROW.findall(text):
        for code in _CODE.findall(row):
            if _FILE.fullmatch(code) and not _is_there(tree, code.rstrip("/")):
                yield f"leads to {code}, which is not there; correct the row"


def _is_there(tree: Tree, path: str) -> bool:
    return path in tree or any(each.startswith(f"{path}/") for each in tree)


def _front(text: str) -> Iterator[str]:
    """The operationIds of the front matter."""
    front = _FRONT.match(text)
    if front is None:
        return
    listed = re.search(r"^operations:(.*(?:\n[ -].*)*)", front[1], re.MULTILINE)
    if listed:
        yield from re.findall(r"\w+", listed[1])


def _code(code: str, fenced: str, known: Names) -> Iterator[str]:
    if _CAMEL.fullmatch(code) and code not in known.words and code not in fenced:
        yield f"names `{code}`, which the contract does not have; correct the name"
    elif _is_scope(code, known) and code not in known.scopes and code not in fenced:
        yield f"names the scope `{code}`, which no operation needs; correct it"
    elif (
        _HEADER.fullmatch(code)
        and ("-" in code or code.startswith("E"))
        and code.lower() not in known.headers
    ):
        yield f"names the header `{code}`, which no operation has; correct the name"


def _is_scope(code: str, known: Names) -> bool:
    """Whether it reads like a scope: `sessions:of`, or `nobody:write`."""
    if not _SCOPE.fullmatch(code):
        return False
    noun, _, verb = code.partition(":")
    parts = [each.partition(":") for each in known.scopes]
    return noun in {each for each, _, _ in parts} or verb in {each for _, _, each in parts}
