"""Durations as people write them: seconds, or a number with a unit."""

import re

import typer

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 100 * 366 * 86400


def parse_duration(text: str) -> int:
    """Seconds of `900`, `15m`, `12h` or `90d`."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match is not None else 0
    if not 0 < seconds <= _MOST:
        raise typer.BadParameter("takes seconds, or a number with s, m, h or d: 900, 15m, 12h, 90d.")
    return seconds
