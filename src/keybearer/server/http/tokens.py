"""/oauth/token: log in, refresh, token info, revoke."""

import re
from dataclasses import dataclass

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import AccessTokenMissing, MalformedRequest, ValidationFailed
from keybearer.server.domain.sessions import Ended
from keybearer.server.flows.issue import IssuedTokens
from keybearer.server.flows.log_in import LogIn
from keybearer.server.flows.refresh import Refresh
from keybearer.server.flows.revoke import Revoke
from keybearer.server.http.answer import JSON_NOT_STORED, Answer, answer_json
from keybearer.server.http.call import Call
from keybearer.server.http.request import Request
from keybearer.server.http.times import rfc3339
from keybearer.wire.documents import (
    MAX_PASSWORD_BYTES,
    Document,
    LoginRequest,
    RefreshRequest,
    Resource,
    RevocationAttributes,
    RevokeRequest,
    SessionAttributes,
    TokenAttributes,
)

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9._-]{22,64}")


@dataclass(frozen=True, slots=True)
class Tokens:
    log_in: LogIn
    refresh: Refresh
    revoke: Revoke

    async def post_token(self, call: Call) -> Answer:
        body: LoginRequest = call.body
        if len(body.password.encode()) > MAX_PASSWORD_BYTES:
            raise ValidationFailed([("/password", f"Expected at most {MAX_PASSWORD_BYTES} bytes.")])
        with call.request.watched() as gone:
            tokens = await self.log_in(
                body.username, body.password, call.application_id, call.request.actor(), gone=gone
            )
        return answer_json(_session_document(tokens))

    async def post_refresh(self, call: Call) -> Answer:
        body: RefreshRequest = call.body
        idempotency_key = _idempotency_key(call.request)
        # A client that has gone asks again. What it asked before must not move the chain then, behind its back.
        with call.request.abandoned_when_gone():
            tokens = await self.refresh(body.refresh_token, idempotency_key, call.application_id, call.request.actor())
        return answer_json(_session_document(tokens))

    def get_info(self, call: Call) -> Answer:
        remembered = call.remembered_token
        if remembered.described is None:
            remembered.described = _describe(remembered.token)
        before, after = remembered.described
        left = remembered.token.expires_at - call.now // 1000
        return Answer(200, b"%b%d%b" % (before, left, after), JSON_NOT_STORED)

    async def revoke_session(self, call: Call) -> Answer:
        body: RevokeRequest | None = call.body
        refresh_token = body.refresh_token if body is not None else None
        ended = await self._end(call, refresh_token, all_devices=_all_devices(call.request))
        attributes = RevocationAttributes(rfc3339(ended.at // 1000), ended.sessions)
        return answer_json(Document(Resource(str(ended.session_id), "revocation", attributes)))

    async def _end(self, call: Call, refresh_token: str | None, *, all_devices: bool) -> Ended:
        actor = call.request.actor()
        if call.token is not None:
            return await self.revoke.with_access_token(call.token, refresh_token, actor, all_devices=all_devices)
        if refresh_token is None:
            raise call.token_error or AccessTokenMissing()
        return await self.revoke.with_refresh_token(refresh_token, call.application_id, actor, all_devices=all_devices)


def _idempotency_key(request: Request) -> str | None:
    key = request.header(b"idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise MalformedRequest("The Idempotency-Key header takes 22 to 64 letters, digits, dots, hyphens, underscores.")
    return key


def _all_devices(request: Request) -> bool:
    return request.query_flag("allDevices") is True or request.query_flag("logoutCurrentDevice") is False


def _describe(token: AccessToken) -> tuple[bytes, bytes]:
    """What token info says, before and after the seconds that are left."""
    attributes = TokenAttributes(
        expires_in=0,
        issued_at=rfc3339(token.issued_at),
        expires_at=rfc3339(token.expires_at),
        user_id=token.user_id,
        application_id=token.application_id,
        session_id=token.session_id,
        claims=dict(token.claims),
    )
    document = answer_json(Document(Resource(token.token_id, "token", attributes))).body
    before, name, after = document.partition(b'"expiresIn":')  # the first is it: quotes within texts are escaped
    return before + name, after.removeprefix(b"0")


def _session_document(tokens: IssuedTokens) -> Document[SessionAttributes]:
    grant = tokens.grant
    attributes = SessionAttributes(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type="Bearer",
        expires_in=tokens.expires_in,
        refresh_expires_in=tokens.refresh_expires_in,
        session_id=str(grant.session.id),
        email=grant.email,
        first_name=grant.first_name,
        last_name=grant.last_name,
    )
    return Document(Resource(str(grant.session.user_id), "session", attributes))
