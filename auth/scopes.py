"""operationId -> scope: the one table that says what each operation needs, and of whom.

The start is refused while an operation of the contract is missing here, and
`scripts/sync_spec.py` compares the table with the *Permissions* line of each description.
"""

from dataclasses import dataclass
from typing import Final

from domain.errors import Forbidden, Unauthenticated
from domain.principal import Kind, Principal

PUBLIC: Final = "none"
ANY: Final = "any"

RUNTIME_ONLY: Final = frozenset({Kind.RUNTIME})
WORKERS: Final = frozenset({Kind.RUNTIME, Kind.PROJECT_KEY, Kind.ORG_KEY})
KEYS: Final = frozenset({Kind.PROJECT_KEY, Kind.ORG_KEY})
REGISTRARS: Final = KEYS | {Kind.COOKIE}
READERS: Final = frozenset({Kind.PROJECT_KEY, Kind.ORG_KEY, Kind.M2M, Kind.COOKIE})
ORG_PROGRAMS: Final = frozenset({Kind.ORG_KEY, Kind.M2M})
MANAGERS: Final = frozenset({Kind.ORG_KEY, Kind.M2M, Kind.COOKIE})
MANAGERS_AND_SYSTEM: Final = MANAGERS | {Kind.SYSTEM}
SYSTEM: Final = frozenset({Kind.SYSTEM})
COOKIE_ONLY: Final = frozenset({Kind.COOKIE})
BATCH_ONLY: Final = frozenset({Kind.BATCH})
AGENTS: Final = frozenset({Kind.AGENT, Kind.PROJECT_KEY, Kind.ORG_KEY, Kind.M2M})


@dataclass(frozen=True, slots=True)
class Rule:
    """The scope an operation needs, and the kinds of credential that may hold it.

    A worker's credential, runtime token or registration key, may hold `worker_scope` instead.
    `anonymous` lets a call without any credential reach the handler, which asks for another proof.
    """

    scope: str
    kinds: frozenset[Kind] = frozenset()
    worker_scope: str | None = None
    anonymous: bool = False


RULES: Final[dict[str, Rule]] = {
    "daemonRegister": Rule("worker:register"),  # the key is in the body, checked by the handler
    "daemonHeartbeat": Rule("worker:heartbeat", RUNTIME_ONLY),
    "workersRegister": Rule("worker:register", REGISTRARS),
    "workerPoll": Rule("worker:poll", WORKERS),
    "workerHeartbeat": Rule("worker:heartbeat", WORKERS),
    "workerRefreshToken": Rule("worker:register", WORKERS),
    "getSessionStatus": Rule("worker:session", WORKERS),
    "updateSessionStatus": Rule("worker:session", WORKERS),
    "postSessionActivity": Rule("worker:session", WORKERS),
    "postSessionCompletion": Rule("worker:session", WORKERS),
    "getWorker": Rule("worker:heartbeat", WORKERS),
    "deregisterWorker": Rule("worker:heartbeat", WORKERS),
    "claimSession": Rule("worker:poll", WORKERS),
    "postSessionProgress": Rule("worker:session", WORKERS),
    "lockRefresh": Rule("worker:session", WORKERS),
    "inboxAck": Rule("worker:session", WORKERS),
    "transferOwnership": Rule("worker:session", WORKERS),
    "postToolError": Rule("worker:session", WORKERS),
    "postSecurityScan": Rule("worker:session", WORKERS),
    "nackSession": Rule("worker:session", WORKERS),
    "postExternalUrls": Rule("worker:session", WORKERS),
    "reserveFiles": Rule("worker:session", WORKERS),
    "releaseFiles": Rule("worker:session", WORKERS),
    "releaseAllFiles": Rule("worker:session", WORKERS),
    "checkFileConflicts": Rule("worker:session", WORKERS),
    "postFileConflictCheck": Rule("worker:session", WORKERS),
    "listDaemonMutations": Rule("*", ORG_PROGRAMS),
    "enqueueDaemonMutation": Rule("*", ORG_PROGRAMS),
    "cancelDaemonMutation": Rule("*", ORG_PROGRAMS),
    "getRecoveryPacket": Rule("sessions:read", COOKIE_ONLY),
    "generateRecoveryPacket": Rule("sessions:write", COOKIE_ONLY),
    "getRecoveryChain": Rule("sessions:read", COOKIE_ONLY),
    "getDaemonSessionDetail": Rule("worker:session", WORKERS),
    "routingSelect": Rule("worker:session", WORKERS),
    "postRoutingFeedback": Rule("worker:session", WORKERS),
    "getWorkerConfig": Rule("worker:poll", WORKERS),
    "issueTrackerProxy": Rule("worker:session", WORKERS),
    "enqueueSession": Rule("sessions:write", READERS),
    "enqueueBatchJob": Rule("batch:write", READERS),
    "listBatchJobs": Rule("batch:read", READERS),
    "getBatchJob": Rule("batch:read", READERS),
    "postBatchResult": Rule("batch:result", BATCH_ONLY),
    "credentialSnapshot": Rule("worker:session", WORKERS),
    "credentialRotateStream": Rule("worker:session", WORKERS),
    "credentialRotate": Rule("credentials:write", MANAGERS),
    "promptSession": Rule("sessions:write", READERS),
    "stopSession": Rule("sessions:write", READERS),
    "listPublicSessions": Rule("sessions:read", READERS),
    "getPublicSession": Rule("sessions:read", READERS),
    "getSessionActivities": Rule(
        "sessions:read", READERS | WORKERS, worker_scope="worker:session", anonymous=True
    ),
    "getPublicStats": Rule("sessions:read", READERS),
    "getRoutingMetrics": Rule("sessions:read", READERS),
    "getPhaseMetrics": Rule("sessions:read", READERS),
    "streamSession": Rule("sessions:read", READERS | WORKERS, worker_scope="worker:session"),
    "streamEvents": Rule("sessions:read", READERS),
    "postTokenDelta": Rule("worker:session", WORKERS),
    "createInterview": Rule("sessions:write", READERS),
    "getInterview": Rule("sessions:read", READERS),
    "sendInterviewTurn": Rule("sessions:write", READERS),
    "streamInterview": Rule("sessions:read", READERS),
    "mcpCall": Rule("sessions:write", AGENTS, worker_scope="worker:session"),
    "issueM2MToken": Rule(PUBLIC),
    "mintApiKey": Rule("org_keys:write", MANAGERS_AND_SYSTEM),
    "listApiKeys": Rule("org_keys:write", MANAGERS_AND_SYSTEM),
    "revokeApiKey": Rule("org_keys:write", MANAGERS_AND_SYSTEM),
    "createM2MClient": Rule("org_keys:write", MANAGERS),
    "listM2MClients": Rule("org_keys:write", MANAGERS),
    "revokeM2MClient": Rule("org_keys:write", MANAGERS),
    "whoami": Rule(ANY, READERS),
    "createBrowserSession": Rule(ANY, KEYS),
    "endBrowserSession": Rule(ANY, COOKIE_ONLY),
    "getAgentCard": Rule(PUBLIC),
    "listA2AAgents": Rule("agents:read", MANAGERS),
    "registerA2AAgent": Rule("agents:write", MANAGERS),
    "getA2AAgent": Rule("agents:read", MANAGERS),
    "updateA2AAgent": Rule("agents:write", MANAGERS),
    "deleteA2AAgent": Rule("agents:write", MANAGERS),
    "refetchA2AAgent": Rule("agents:write", MANAGERS),
    "dispatchA2ATask": Rule("agents:write", MANAGERS),
    "listA2ADispatches": Rule("agents:read", MANAGERS),
    "getA2ADispatch": Rule("agents:read", MANAGERS),
    "callA2A": Rule("sessions:write", KEYS | {Kind.M2M}),
    "cancelA2ADispatch": Rule("agents:write", MANAGERS),
    "webhookIngest": Rule(PUBLIC),
    "listWebhookEvents": Rule("webhooks:read", MANAGERS_AND_SYSTEM),
    "getWebhookEvent": Rule("webhooks:read", MANAGERS_AND_SYSTEM),
    "replayWebhookEvent": Rule("webhooks:write", MANAGERS_AND_SYSTEM),
    "createOrganization": Rule("system", SYSTEM),
    "listOrganizations": Rule("system", SYSTEM),
    "createProject": Rule("projects:write", MANAGERS_AND_SYSTEM),
    "listProjects": Rule("projects:read", READERS | SYSTEM),
    "getProject": Rule("projects:read", READERS | SYSTEM),
    "getProjectSettings": Rule("projects:read", READERS | SYSTEM),
    "updateProjectSettings": Rule("projects:write", MANAGERS_AND_SYSTEM),
    "getOrgSettings": Rule("org:read", READERS | SYSTEM),
    "updateOrgSettings": Rule("org:write", MANAGERS_AND_SYSTEM),
    "createConnection": Rule("org:write", MANAGERS_AND_SYSTEM),
    "listConnections": Rule("org:read", MANAGERS_AND_SYSTEM),
    "getConnection": Rule("org:read", MANAGERS_AND_SYSTEM),
    "updateConnection": Rule("org:write", MANAGERS_AND_SYSTEM),
    "deleteConnection": Rule("org:write", MANAGERS_AND_SYSTEM),
    "createWorkspaceMapping": Rule("workspaces:write", MANAGERS_AND_SYSTEM),
    "listWorkspaceMappings": Rule("workspaces:read", READERS | SYSTEM),
    "deleteWorkspaceMapping": Rule("workspaces:write", MANAGERS_AND_SYSTEM),
    "setCredential": Rule("credentials:write", MANAGERS),
    "listCredentials": Rule("credentials:read", MANAGERS),
    "deleteCredential": Rule("credentials:write", MANAGERS),
    "listAuditEvents": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "getAuditKeys": Rule(PUBLIC),
    "rotateAuditKey": Rule("audit:write", MANAGERS_AND_SYSTEM),
    "verifyAudit": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "forgetAuditSubject": Rule("audit:write", MANAGERS_AND_SYSTEM),
    "getAuditCheckpoint": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "getAuditInclusionProof": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "getAuditConsistencyProof": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "exportAuditEvents": Rule("audit:read", MANAGERS_AND_SYSTEM),
    "getHealth": Rule(PUBLIC),
}


def authorize(principal: Principal | None, operation_id: str) -> None:
    """Raise `Forbidden` unless the credential is of a kind, and has the scope, the table names."""
    rule = RULES[operation_id]
    if rule.scope == PUBLIC:  # a webhook's signature is all the credential there is
        return
    if principal is None:
        if rule.anonymous:
            return
        raise Unauthenticated
    if principal.kind not in rule.kinds or _is_wider_than_its_key(principal, rule):
        allowed = ", ".join(sorted(kind.value for kind in rule.kinds))
        raise Forbidden(f"This operation does not take a {principal.kind.value}; use: {allowed}")
    if rule.scope == ANY or principal.kind is Kind.SYSTEM or principal.may(rule.scope):
        return
    if rule.worker_scope and principal.kind in WORKERS and principal.may(rule.worker_scope):
        return
    raise Forbidden(f"The credential lacks the scope {rule.scope}")


def _is_wider_than_its_key(principal: Principal, rule: Rule) -> bool:
    """A project key's browser session may do no more than the key itself."""
    return (
        principal.kind is Kind.COOKIE
        and principal.projects is not None
        and Kind.PROJECT_KEY not in rule.kinds
        and rule.kinds != COOKIE_ONLY
    )
