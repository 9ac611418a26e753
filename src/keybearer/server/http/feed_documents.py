"""What the feed says, as the wire has it."""

from keybearer.base64url import encode_base64url
from keybearer.credentials.api_key import ApiKeyKind
from keybearer.guard.state import (
    ApiKeyState,
    ApplicationState,
    Entry,
    KeySetChanged,
    RevokedSession,
    RevokedUser,
)
from keybearer.wire import feed


def make_entry(entry: Entry) -> feed.FeedEntry:
    match entry:
        case RevokedSession(id, expires_at):
            return feed.FeedSession(id, expires_at)
        case RevokedUser(id, ver, expires_at):
            return feed.FeedUser(id, ver, expires_at)
        case ApplicationState():
            state = feed.ENABLED if entry.enabled else feed.DISABLED
            return feed.FeedApplication(entry.id, state, sorted(entry.origins))
        case ApiKeyState():
            return feed.FeedKey(
                hash=encode_base64url(entry.key_hash),
                key_kind=ApiKeyKind.SECRET if entry.secret else ApiKeyKind.PUBLISHABLE,
                application_id=entry.application_id,
                state=feed.REVOKED if entry.revoked else feed.ACTIVE,
                expires_at=entry.expires_at,
                has_permissions=bool(entry.permissions),
            )
        case KeySetChanged(version):
            return feed.FeedKeySet(version)
