"""Write docs/openapi.json, the machine-readable contract: what the service answers at /openapi.json."""

import json
from typing import Any, cast

from generated import write_or_check
from keybearer.server.http.feed import CredentialFeed
from keybearer.server.http.openapi import make_document
from keybearer.server.http.public import Public
from keybearer.server.http.routes import Handlers, make_routes
from keybearer.server.http.sessions import Sessions
from keybearer.server.http.tokens import Tokens
from keybearer.server.http.users import Users
from keybearer.server.http.verify import Verify


def text() -> str:
    """The document for the default base path. The handlers are not called, so the classes will do for their objects."""
    classes = cast(Any, (Tokens, Sessions, Users, CredentialFeed, Verify, Public))
    return json.dumps(make_document(make_routes("/v1/api", Handlers(*classes))), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_or_check("docs/openapi.json", text(), generator="tools/generate_openapi.py")
