"""Who is asking: the one value that every handler of a protected operation receives."""

from dataclasses import dataclass
from enum import Enum

from domain.errors import Forbidden, NotFound

WORKER_SCOPES = ("worker:register", "worker:poll", "worker:heartbeat", "worker:session")


class Kind(Enum):
    """What the credential is; the scope table says which kinds an operation takes."""

    ORG_KEY = "org-wide API key"
    PROJECT_KEY = "project API key"
    M2M = "M2M token"
    COOKIE = "browser session"
    RUNTIME = "runtime token"
    SYSTEM = "system key"
    BATCH = "batch token"
    AGENT = "agent token"


@dataclass(frozen=True, slots=True)
class BatchClaim:
    """One claim of a batch job: which job, and which attempt at it."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Principal:
    """A checked credential.

    `org_id` is None for the system key alone. `projects` is None when every project of the
    organization may be seen. `registration_id` is the key behind a worker credential: a runtime
    token carries the key it was minted from, and a key is its own. `claim` is what a batch token
    was minted for. `expires_at` is that of a runtime token, in epoch seconds.
    """

    kind: Kind
    id: str
    org_id: str | None
    projects: frozenset[str] | None
    scopes: frozenset[str]
    registration_id: str | None = None
    worker_id: str | None = None
    issues_runtime_tokens: bool = True
    claim: BatchClaim | None = None
    expires_at: int | None = None

    def may(self, scope: str) -> bool:
        """Whether the credential carries the scope; `*` implies all but `system`."""
        return scope in self.scopes or ("*" in self.scopes and scope != "system")

    def sees(self, project_id: str) -> bool:
        """Whether a project of the principal's organization is among those it may see."""
        return self.projects is None or project_id in self.projects

    def require_org(self, org_id: str) -> None:
        """Let the organization's own credentials and the system key pass; others see a 404."""
        if self.kind is not Kind.SYSTEM and self.org_id != org_id:
            raise NotFound("Organization not found")

    def require_worker(self, worker_id: str) -> None:
        """A runtime token acts for its own worker only; a key for those it registered."""
        if self.worker_id is not None and self.worker_id != worker_id:
            raise Forbidden("The runtime token belongs to another worker")

    @property
    def actor_type(self) -> str:
        """The word for this kind of caller in the audit log."""
        return {
            Kind.RUNTIME: "worker",
            Kind.BATCH: "worker",
            Kind.AGENT: "agent",
            Kind.COOKIE: "user",
            Kind.M2M: "m2m_client",
            Kind.SYSTEM: "system",
        }.get(self.kind, "api_key")
