"""What a run tells its client processes: one line of JSON at their start, and one word at the end."""

import os
from pathlib import Path

import msgspec


class Orders(msgspec.Struct, frozen=True):
    """`users` are names by ids. `ports` are the replicas', `front` is before all of them. `window` is in seconds."""

    seed: str
    directory: str
    histories: str
    handed_out: str
    api_key: str
    password: str
    users: dict[str, str]
    front: int
    ports: tuple[int, ...]
    window: int
    sessions: int

    @property
    def history(self) -> Path:
        """A file of this process alone: one that was killed may have left half a line."""
        return Path(self.histories) / f"client-{os.getpid()}.jsonl"

    @property
    def ledger(self) -> Path:
        return Path(self.handed_out) / f"client-{os.getpid()}"


def parse_orders(line: str) -> Orders:
    return msgspec.json.decode(line, type=Orders)
