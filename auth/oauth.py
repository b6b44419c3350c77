"""The OAuth 2.0 client-credentials grant (RFC 6749 section 4.4). Authlib lives here only."""

import hmac
from collections.abc import Mapping
from typing import Any, Final

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    ClientMixin,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from sqlalchemy import Row

import settings
from auth import tokens
from domain.errors import OAuthRefusal
from domain.ids import fingerprint
from domain.principal import Kind, Principal
from persistence import audit, database, m2m_clients

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A row of `m2m_clients` as Authlib wants to see it."""

    def __init__(self, row: Row[Any]) -> None:
        self.row = row

    def get_client_id(self) -> str:
        return str(self.row.id)

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(self.row.secret_hash, fingerprint(client_secret))

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_grant_type(self, grant_type: str) -> bool:
        return bool(grant_type == Grant.GRANT_TYPE)


class _Request(OAuth2Request):  # type: ignore[misc]
    """Form, JSON and Basic look the same to Authlib: like a form."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("POST", "https://token.invalid/api/oauth/token")
        self._fields = dict(fields)
        self.payload = BasicOAuth2Payload(self._fields)

    @property
    def form(self) -> dict[str, str]:
        return self._fields


class Grant(ClientCredentialsGrant):  # type: ignore[misc]
    """Client credentials, which `_with_basic` has put among the fields."""

    TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_post"]


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's token endpoint over one client that was looked up before."""

    def __init__(self, client: _Client | None, token: Mapping[str, Any]) -> None:
        super().__init__()
        self._client = client
        self.register_grant(Grant)
        self.register_token_generator("default", lambda **_: dict(token))

    def query_client(self, client_id: str) -> _Client | None:
        if self._client is None or self._client.get_client_id() != client_id:
            return None
        return self._client

    def create_oauth2_request(self, request: _Request) -> _Request:
        return request

    def save_token(self, token: Mapping[str, Any], request: _Request) -> None:
        """Nothing to save: the token is its own record, the client's row ends it."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, dict[str, Any]]:
        return status, dict(body)


async def issue_token(fields: Mapping[str, str], authorization: str | None) -> dict[str, Any]:
    """The token answer; raises `OAuthRefusal`.

    The database is asked before Authlib is, since Authlib cannot wait for it. The token is signed
    only after Authlib let the client pass.
    """
    fields = _with_basic(fields, authorization)
    client_id = fields.get("client_id", "")
    row = None
    if client_id and "\x00" not in client_id:  # which PostgreSQL cannot even be asked about
        async with database.statement() as db:
            row = await m2m_clients.find_alive(db, client_id)
    lifetime = settings.current().m2m_token_lifetime
    answer = {"token_type": "Bearer", "expires_in": lifetime}
    server = _Server(_Client(row) if row else None, answer)
    status: int
    body: dict[str, Any]
    status, body = server.create_token_response(_Request(fields))
    if status != 200 or row is None:
        code = str(body.get("error", "invalid_client"))
        if code == "invalid_client" and not client_id:
            code, status = "invalid_request", 400
            text = "send client_id and client_secret, in the body or by HTTP Basic"
        elif code == "invalid_client":
            status, text = 401, "unknown client, wrong secret, or revoked client"
        else:
            status, text = 400, "only grant_type=client_credentials is supported"
        raise OAuthRefusal(code, text, status)
    async with database.transaction() as db:
        client = Principal(Kind.M2M, row.id, row.org_id, None, frozenset(row.scopes))
        about = {"scopes": list(row.scopes), "expiresIn": lifetime}
        await audit.append(
            db, row.org_id, client, "m2m_client.token_issued", ("m2m_client", row.id), about
        )
    body["access_token"] = await tokens.mint(
        tokens.M2M,
        {
            "sub": row.id,
            "org_id": row.org_id,
            "workspace_id": row.org_id,
            "scopes": list(row.scopes),
        },
        lifetime,
    )
    return body


def _with_basic(fields: Mapping[str, str], authorization: str | None) -> Mapping[str, str]:
    """The fields, with the client that HTTP Basic names.

    RFC 6749 section 2.3 wants one method a request: Authlib would try the second after the first
    failed, and so let a good secret in the body save a bad one in the header.
    """
    if authorization is None:
        return fields
    if "client_secret" in fields:
        raise OAuthRefusal(
            "invalid_request", "send the client by HTTP Basic or in the body, not both", 400
        )
    try:
        client_id, secret = extract_basic_authorization({"Authorization": authorization})
    except ValueError:
        client_id = secret = None
    if not client_id or not secret:
        raise OAuthRefusal("invalid_client", "the Authorization header is not HTTP Basic", 401)
    return {**fields, "client_id": client_id, "client_secret": secret}
