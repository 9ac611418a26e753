"""/sessions: a user's own sessions."""

from dataclasses import dataclass

from keybearer.server.domain.sessions import SessionView
from keybearer.server.flows.own_sessions import OwnSessions
from keybearer.server.http.answer import NO_CONTENT, Answer, answer_json
from keybearer.server.http.call import Call
from keybearer.server.http.times import rfc3339
from keybearer.wire.documents import ListDocument, ListMeta, OwnSessionAttributes, Resource


@dataclass(frozen=True, slots=True)
class Sessions:
    own: OwnSessions

    async def get_all(self, call: Call) -> Answer:
        token = call.access_token
        views = await self.own.list_sessions(token)
        return answer_json(ListDocument([_resource(view, token.session_id) for view in views], ListMeta()))

    async def delete_one(self, call: Call) -> Answer:
        await self.own.end(call.access_token, call.parameter, call.request.actor())
        return NO_CONTENT

    async def delete_others(self, call: Call) -> Answer:
        await self.own.end_others(call.access_token, call.request.actor())
        return NO_CONTENT


def _resource(view: SessionView, current_id: str) -> Resource[OwnSessionAttributes]:
    session = view.session
    attributes = OwnSessionAttributes(
        current=str(session.id) == current_id,
        application_name=view.application_name,
        created_at=rfc3339(session.created_at // 1000),
        last_used_at=rfc3339(session.last_used_at // 1000),
        address=session.last_address,
        agent=session.last_agent,
    )
    return Resource(str(session.id), "session", attributes)
