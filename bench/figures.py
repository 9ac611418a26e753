"""The figures of a run, beside what is asked of them."""

import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Figure:
    """One figure: its rounds, and the floor (or, for times and sizes, the ceiling) of the issue; None for a figure that
    explains another one."""

    name: str
    unit: str
    bound: float | None
    at_least: bool
    rounds: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        return statistics.median(self.rounds)

    @property
    def holds(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self, last: float | None) -> str:
        compared = "" if last is None else f"{self.value / last:.2f} x"
        spread = f"{min(self.rounds):,.4g} to {max(self.rounds):,.4g}"
        return f"| {self.name} | {self.value:,.4g} {self.unit} | {spread} | {self._verdict} | {compared} |"

    @property
    def _verdict(self) -> str:
        if self.bound is None:
            return "| "
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:,.4g} | {'yes' if self.holds else '**no**'}"


class Figures:
    """All figures of a run, by name."""

    def __init__(self) -> None:
        self.all: dict[str, Figure] = {}

    def add(self, name: str, value: float, *, unit: str, bound: float | None = None, at_least: bool = False) -> None:
        figure = self.all.setdefault(name, Figure(name, unit, bound, at_least))
        figure.rounds.append(value)
        print(f"  {name}: {value:,.4g} {unit}", flush=True)

    def table(self, last: Mapping[str, float]) -> str:
        """All of them, beside the medians of an earlier run."""
        rows = [figure.row(last.get(figure.name)) for figure in self.all.values()]
        head = "| figure | median | rounds | bound | held | to the last record |"
        return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])


def machine() -> str:
    """What a run was made on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{names[0].split(': ')[1]}, {os.cpu_count()} cores."
    )
