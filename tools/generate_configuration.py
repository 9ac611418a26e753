"""Write docs/configuration.md from the table of settings."""

from generated import write_or_check
from keybearer.server.settings import CONFIG_FILE, PREFIX, SETTINGS, WORDED_DEFAULTS, Setting

HEAD = f"""\
# Configuration

<!-- Written by tools/generate_configuration.py. -->

Every setting is an environment variable, or a line of a TOML file: `{PREFIX}PORT=8100`, or `port = 8100`. The variable
goes before the line. The file is the one that `{CONFIG_FILE}` names, or `keybearer --config FILE`. Settings are read
once, when a process starts. A setting that is unknown or malformed keeps the process from starting, and the message
says which it is, where it stands and what it takes.

```toml
# keybearer.toml
database = "postgresql://keybearer@db.example.com/keybearer"
issuer = "https://auth.example.com"
trusted_proxies = ["10.0.0.0/8"]
```

`keybearer doctor` looks at the settings as they stand, and at what they lead to.

| variable | takes | default | |
| --- | --- | --- | --- |
"""

TAIL = """
Two settings are secrets: `KEYBEARER_DATABASE`, where its URL has a password, and `KEYBEARER_KEY_ENCRYPTION_KEY`. They
are never logged or shown.

Only the tour reads `KEYBEARER_TOUR_API_KEY`, and only this repository's tests read `KEYBEARER_TEST_POSTGRES`.
`KEYBEARER_CLIENT_API_KEY` and `KEYBEARER_CLIENT_PROFILE` are for the commands of the client
([command-line.md](integrations/command-line.md)).
"""


def row(setting: Setting) -> str:
    cells = (f"`{PREFIX}{setting.name.upper()}`", setting.expects, default(setting), setting.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def default(setting: Setting) -> str:
    """A value as it can be set, or words that say what is done without one."""
    return setting.default if setting.name in WORDED_DEFAULTS else f"`{setting.default}`"


def text() -> str:
    return HEAD + "".join(map(row, SETTINGS)) + TAIL


if __name__ == "__main__":
    write_or_check("docs/configuration.md", text(), generator="tools/generate_configuration.py")
