"""A process that follows the feed, reduced to what it knows."""

from dataclasses import dataclass, field

from keybearer.guard.state import ApiKeyState, ApplicationState, Entry, KeySetChanged, RevokedSession, RevokedUser
from keybearer.server.domain.revocations import FeedSnapshot
from keybearer.server.domain.sessions import Grant
from keybearer.server.ports import Feed


@dataclass
class Follower:
    """`await Follower.start(feed)` takes the snapshot; `read` takes what has come since, and answers it."""

    feed: Feed
    epoch: str = ""
    position: int = -1
    key_set_version: int = 0
    applications: dict[str, ApplicationState] = field(default_factory=dict)
    keys: dict[bytes, ApiKeyState] = field(default_factory=dict)
    sessions: dict[str, RevokedSession] = field(default_factory=dict)
    users: dict[str, RevokedUser] = field(default_factory=dict)

    @classmethod
    async def start(cls, feed: Feed) -> "Follower":
        follower = cls(feed)
        follower.take(await feed.snapshot())
        return follower

    def take(self, snapshot: FeedSnapshot) -> None:
        self.epoch, self.position = snapshot.epoch, snapshot.position
        self.key_set_version = snapshot.key_set_version
        entries: tuple[Entry, ...] = (
            *snapshot.applications,
            *snapshot.keys,
            *snapshot.sessions,
            *snapshot.users,
        )
        for entry in entries:
            self.apply(entry)

    async def read(self) -> tuple[Entry, ...]:
        tail = await self.feed.tail(self.epoch, self.position)
        assert not tail.reset
        self.position = tail.position
        for entry in tail.entries:
            self.apply(entry)
        return tail.entries

    def apply(self, entry: Entry) -> None:
        match entry:
            case RevokedSession(id):
                self.sessions[id] = entry
            case RevokedUser(id, ver):
                if id not in self.users or self.users[id].ver <= ver:
                    self.users[id] = entry
            case ApplicationState(id):
                self.applications[id] = entry
            case ApiKeyState():
                self.keys[entry.key_hash] = entry
            case KeySetChanged(version):
                self.key_set_version = max(version, self.key_set_version)

    def refuses(self, grant: Grant) -> bool:
        """Whether the access token of a grant is refused, for as long as it would be valid."""
        session = self.sessions.get(str(grant.session.id))
        if session is not None and session.expires_at >= grant.expires_at:
            return True
        user = self.users.get(str(grant.session.user_id))
        return user is not None and grant.ver < user.ver and user.expires_at >= grant.expires_at
