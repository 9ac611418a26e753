"""/users/me: a user's own profile."""

from dataclasses import dataclass

from keybearer.server.flows.own_profile import OwnProfile
from keybearer.server.http.answer import Answer, answer_json
from keybearer.server.http.call import Call
from keybearer.server.http.times import rfc3339
from keybearer.wire.documents import Document, Resource, UserAttributes


@dataclass(frozen=True, slots=True)
class Users:
    own_profile: OwnProfile

    async def get_me(self, call: Call) -> Answer:
        user = await self.own_profile(call.access_token)
        attributes = UserAttributes(
            email=user.email,
            phone=user.phone,
            first_name=user.first_name,
            last_name=user.last_name,
            roles=list(user.roles),
            created_at=rfc3339(user.created_at // 1000),
        )
        return answer_json(Document(Resource(str(user.id), "user", attributes)))
