"""`keybearer whoami`."""

from keybearer.cli.importing import make_app
from keybearer.cli.profiles import DEFAULT, ProfileName
from keybearer.cli.shown import Record, Shown, command
from keybearer.cli.working import opened

app = make_app()


@command(app, "whoami")
def whoami(profile: ProfileName = DEFAULT) -> Shown:
    """Show whose session it is. Asks the service."""
    with opened(profile) as client:
        user = client.profile()
        [session] = [session for session in client.sessions() if session.attributes.current]
    return Record(
        {
            "profile": profile,
            "user_id": user.id,
            "email": user.attributes.email,
            "phone": user.attributes.phone,
            "first_name": user.attributes.first_name,
            "last_name": user.attributes.last_name,
            "roles": user.attributes.roles,
            "session_id": session.id,
            "application": session.attributes.application_name,
            "logged_in_at": session.attributes.created_at,
            "last_used_at": session.attributes.last_used_at,
        }
    )
