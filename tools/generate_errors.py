"""Write docs/errors.md and the TypeScript catalogue from the catalogue of error codes and their statuses."""

from itertools import groupby

from generated import write_or_check
from keybearer.errors import CATALOGUE, KeybearerError
from keybearer.wire.problems import STATUS

HEAD = """\
# Error codes

<!-- Written by tools/generate_errors.py. -->

Every failure answers with the same document, and every cause has its own code:

```json
{"errors": [{"status": "401", "code": "access_token_expired", "title": "Access token expired",
  "detail": "The access token expired 12 s ago.", "source": {"header": "Authorization"}, "meta": {"requestId": "…"}}]}
```

Decide by `code`. `detail` is for the developer who reads it and may change; it never repeats a value that was sent.
`meta.requestId` is also in the `X-Request-Id` header and in the service's log.

What a client does, by status:

| status | what to do |
| --- | --- |
| 400, 404, 405, 413, 415, 422 | Correct the request. The session is not concerned. |
| 401 about the access token | Refresh, and repeat the request once. |
| 401 of the refresh | The session has ended: forget both tokens and send the user to the login page. |
| 401 of the login | Let the user try again. |
| 403 | Never refresh: the application, its key or the account is not admitted. |
| 429, 503 | Keep the tokens, and wait for the seconds of `Retry-After`. |
| 500 | Keep the tokens, and report the request id. |

"""


def row(code: str, error: type[KeybearerError]) -> str:
    reserved = " *Reserved; no operation answers it yet.*" if error.reserved else ""
    header = f"`{error.header}`" if error.header else ""
    return f"| `{code}` | {error.title} | {error.default_detail}{reserved} | {header} | `{error.__name__}` |\n"


def text() -> str:
    parts = [HEAD]
    catalogue = sorted(CATALOGUE.items(), key=lambda item: STATUS[item[0]])
    for status, errors in groupby(catalogue, key=lambda item: STATUS[item[0]]):
        parts.append(f"## {status}\n\n")
        parts.append("| code | title | meaning | header at fault | in Python, `keybearer.errors` |\n")
        parts.append("| --- | --- | --- | --- | --- |\n")
        parts.extend(row(code, error) for code, error in errors)
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


TYPESCRIPT_HEAD = """\
/** `keybearer/codes`: every code of the service, with its status. Written by tools/generate_errors.py. */

export const STATUS_OF_CODE = {
"""

TYPESCRIPT_TAIL = """\
} as const;

export type ErrorCode = keyof typeof STATUS_OF_CODE;
"""


def typescript() -> str:
    rows = (f"  {code}: {STATUS[code]},\n" for code in sorted(CATALOGUE, key=lambda code: STATUS[code]))
    return TYPESCRIPT_HEAD + "".join(rows) + TYPESCRIPT_TAIL


if __name__ == "__main__":
    write_or_check("docs/errors.md", text(), generator="tools/generate_errors.py")
    write_or_check("packages/keybearer-js/src/codes.ts", typescript(), generator="tools/generate_errors.py")
