"""Where the command line keeps things (XDG Base Directory Specification)."""

import os
from pathlib import Path

from keybearer.client import ConfigurationError


def config_directory() -> Path:
    """For what people may want to copy to another machine."""
    return _directory("XDG_CONFIG_HOME", ".config")


def state_directory() -> Path:
    """For what is of this machine."""
    return _directory("XDG_STATE_HOME", ".local/state")


def _directory(variable: str, under_home: str) -> Path:
    """The specification ignores relative paths."""
    chosen = Path(os.environ.get(variable, ""))
    if chosen.is_absolute():
        return chosen / "keybearer"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigurationError(f"There is no home directory: set {variable} to an absolute path.")
    return home / under_home / "keybearer"
