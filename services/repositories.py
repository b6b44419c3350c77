"""Which repository a session is about, where what asked for it does not say."""

from typing import Any

from persistence import projects


def of_project(work: dict[str, Any], repository: str | None, branch: str | None) -> dict[str, str]:
    """What a project adds to a session's work: its first repository and that one's branch.

    Nothing, where the work names a repository of its own.
    """
    if work.get("repository") or not repository:
        return {}
    return {"repository": repository, **({"ref": branch} if branch and not work.get("ref") else {})}


async def repository_of(org_id: str, project_id: str, work: dict[str, Any]) -> dict[str, str]:
    """The same for a session by itself; one round trip."""
    found = await projects.first_repository(org_id, project_id)
    return of_project(work, found.repository, found.default_branch) if found else {}
