"""What GitHub and Vercel send, after their documentation, with what a test wants to differ.

Every payload has a number of its own, so that no two bodies are equal.
"""

import hashlib
import hmac
import itertools
import json
import secrets
from typing import Any

GITHUB_SECRET = "gh_wh_secret"
VERCEL_SECRET = "vc_wh_secret"
WEB = "https://github.com"
BRANCH = "eng-7-keep-the-currency"

_numbers = itertools.count(70_000)


def delivered(
    provider: str, payload: Any, *, event: str = "", secret: str | None = None, id_: str = ""
) -> dict[str, Any]:
    """Body and headers of a delivery of GitHub's or Vercel's, as arguments of a client's `post`."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    if provider == "vercel":
        digest = hmac.new((secret or VERCEL_SECRET).encode(), body, hashlib.sha1).hexdigest()
        headers = {"X-Vercel-Signature": digest}
    else:
        digest = hmac.new((secret or GITHUB_SECRET).encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={digest}",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": id_ or secrets_id(),
        }
    return {"content": body, "headers": {"Content-Type": "application/json", **headers}}


def secrets_id() -> str:
    return secrets.token_hex(8)


def repository(full_name: str = "acme/billing") -> dict[str, Any]:
    owner, _, name = full_name.partition("/")
    return {
        "id": 4401,
        "name": name,
        "full_name": full_name,
        "private": True,
        "owner": {"login": owner, "id": 12, "type": "Organization"},
        "html_url": f"{WEB}/{full_name}",
        "clone_url": f"{WEB}/{full_name}.git",
        "default_branch": "main",
    }


def _around(action: str, full_name: str) -> dict[str, Any]:
    return {
        "action": action,
        "repository": repository(full_name),
        "organization": {"login": full_name.partition("/")[0], "id": 12},
        "sender": {"login": "octocat", "id": 1, "type": "User"},
        "installation": {"id": 99},
        "nonce": next(_numbers),
    }


def pull_request(action: str = "opened", full_name: str = "acme/billing", **more: Any) -> Any:
    """`pull_request`; `more` are members of the pull request."""
    number = more.pop("number", 7)
    pull = {
        "id": 900 + number,
        "number": number,
        "state": "closed" if action == "closed" else "open",
        "title": "Keep the currency of a refund",
        "body": "What was asked for.",
        "draft": False,
        "merged": False,
        "merged_at": None,
        "html_url": f"{WEB}/{full_name}/pull/{number}",
        "user": {"login": "rensei-agent", "id": 3},
        "head": {"ref": BRANCH, "sha": "a" * 40, "repo": {"full_name": full_name}},
        "base": {"ref": "main", "sha": "b" * 40, "repo": {"full_name": full_name}},
        "created_at": "2026-07-01T09:00:00Z",
        "updated_at": "2026-07-01T09:00:00Z",
        **more,
    }
    return {**_around(action, full_name), "number": number, "pull_request": pull}


def merged(full_name: str = "acme/billing", **more: Any) -> Any:
    """`pull_request`, closed by merging it."""
    at = more.get("updated_at", "2026-07-01T10:00:00Z")
    members = {"merged": True, "merged_at": at, "updated_at": at, "merged_by": {"login": "bob"}}
    return pull_request("closed", full_name, **{**members, **more})


def review(state: str = "approved", action: str = "submitted", **of_pull: Any) -> Any:
    """`pull_request_review`."""
    payload = pull_request("opened", **of_pull)
    url = payload["pull_request"]["html_url"]
    return {
        **payload,
        "action": action,
        "review": {
            "id": 501,
            "state": state,
            "body": "Looks right.",
            "html_url": f"{url}#pullrequestreview-501",
            "user": {"login": "alice", "id": 2},
            "submitted_at": "2026-07-01T09:30:00Z",
        },
    }


def review_comment(action: str = "created", **of_pull: Any) -> Any:
    """`pull_request_review_comment`."""
    payload = pull_request("opened", **of_pull)
    url = payload["pull_request"]["html_url"]
    return {
        **payload,
        "action": action,
        "comment": {
            "id": 601,
            "body": "Why a float?",
            "path": "billing/refunds.py",
            "html_url": f"{url}#discussion_r601",
            "user": {"login": "alice", "id": 2},
            "created_at": "2026-07-01T09:31:00Z",
            "updated_at": "2026-07-01T09:31:00Z",
        },
    }


def issue(action: str = "opened", full_name: str = "acme/billing", **more: Any) -> Any:
    """`issues`; `more` are members of the issue."""
    number = more.pop("number", 12)
    about = {
        "id": 300 + number,
        "number": number,
        "title": "ENG-7: refunds lose their currency",
        "state": "closed" if action == "closed" else "open",
        "html_url": f"{WEB}/{full_name}/issues/{number}",
        "user": {"login": "carol", "id": 4},
        "labels": [],
        "created_at": "2026-07-01T08:00:00Z",
        "updated_at": "2026-07-01T08:00:00Z",
        **more,
    }
    return {**_around(action, full_name), "issue": about}


def issue_comment(action: str = "created", full_name: str = "acme/billing", **of_issue: Any) -> Any:
    """`issue_comment`, on an issue, or on a pull request when it has a `pull_request`."""
    payload = issue("opened", full_name, **of_issue)
    return {
        **payload,
        "action": action,
        "comment": {
            "id": 701,
            "body": "It happens with yen, too.",
            "html_url": f"{payload['issue']['html_url']}#issuecomment-701",
            "user": {"login": "carol", "id": 4},
            "created_at": "2026-07-01T09:10:00Z",
            "updated_at": "2026-07-01T09:10:00Z",
        },
    }


def check_run(
    conclusion: str | None = "success", full_name: str = "acme/billing", **more: Any
) -> Any:
    """`check_run`: completed with a conclusion, or created while it has none."""
    run = {
        "id": 801,
        "name": "lint",
        "head_sha": "a" * 40,
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "html_url": f"{WEB}/{full_name}/runs/801",
        "started_at": "2026-07-01T09:05:00Z",
        "completed_at": "2026-07-01T09:06:00Z" if conclusion else None,
        "check_suite": {"id": 8, "head_branch": BRANCH},
        "pull_requests": [],
        "app": {"slug": "linter", "name": "Linter"},
        **more,
    }
    return {**_around("completed" if conclusion else "created", full_name), "check_run": run}


def workflow_run(
    conclusion: str | None = "success", full_name: str = "acme/billing", **more: Any
) -> Any:
    """`workflow_run` of GitHub Actions: completed, or in progress while it has no conclusion."""
    id_ = more.pop("id", 9001)
    run = {
        "id": id_,
        "name": "CI",
        "display_title": "Keep the currency of a refund",
        "run_number": 41,
        "run_attempt": 1,
        "workflow_id": 5,
        "event": "push",
        "head_branch": BRANCH,
        "head_sha": "a" * 40,
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "html_url": f"{WEB}/{full_name}/actions/runs/{id_}",
        "pull_requests": [],
        "created_at": "2026-07-01T09:05:00Z",
        "updated_at": "2026-07-01T09:08:00Z" if conclusion else "2026-07-01T09:05:10Z",
        **more,
    }
    return {
        **_around("completed" if conclusion else "in_progress", full_name),
        "workflow_run": run,
        "workflow": {"id": 5, "name": "CI", "path": ".github/workflows/ci.yml"},
    }


def deployment(what: str = "succeeded", project_id: str = "prj_1", **more: Any) -> Any:
    """Vercel's `deployment.*`; `more` are members of the payload."""
    number = next(_numbers)
    return {
        "id": f"evt_vc_{secrets_id()}",
        "type": f"deployment.{what}",
        "createdAt": more.pop("created_at", 1782896400000),
        "region": "fra1",
        "payload": {
            "team": {"id": "team_1"},
            "user": {"id": "user_1"},
            "project": {"id": project_id},
            "deployment": {
                "id": "dpl_1",
                "name": "billing",
                "url": "billing-git-eng-7-acme.vercel.app",
                "meta": {
                    "githubOrg": "acme",
                    "githubRepo": "billing",
                    "githubCommitRef": BRANCH,
                    "githubCommitSha": "a" * 40,
                },
            },
            "links": {
                "deployment": "https://vercel.com/acme/billing/dpl_1",
                "project": "https://vercel.com/acme/billing",
            },
            "target": None,
            "plan": "pro",
            "regions": ["fra1"],
            "nonce": number,
            **more,
        },
    }
