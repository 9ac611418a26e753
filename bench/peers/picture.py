"""The comparison as an SVG: bars of requests a second, a block for each kind of work. It follows the reader's light or
dark scheme."""

from html import escape

from bench.peers.contender import CHECK, REFRESH, Contender, Work
from bench.peers.measure import Result

_WIDTH = 760
_LEFT = 210
_LONGEST = 460
_BAR = 18
_STEP = 26
_HEAD = 34
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
.peer { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .peer { fill: #6e7681 } .ours { fill: #4493f8 } }
"""


def draw(results: list[Result]) -> str:
    parts: list[str] = []
    top = 0
    for work in (CHECK, REFRESH):
        block = _block(work, results, top)
        parts += block
        top += _HEAD + _STEP * (len(block) - 1)
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return "\n".join(
        [head, "<title>Requests a second on one core</title>", f"<style>{_STYLE}</style>", *parts, "</svg>\n"]
    )


def _block(work: Work, results: list[Result], top: int) -> list[str]:
    """A line of SVG for the heading, and one for each contender that does this work; the longest bar is the fastest."""
    rates = [(one.contender, rate) for one in results if (rate := one.value(work)) is not None]
    fastest = max(rate for _, rate in rates)
    lines = [f'<text class="head" x="0" y="{top + 22}">{work}, requests a second</text>']
    for number, (contender, rate) in enumerate(rates):
        length = max(round(_LONGEST * rate / fastest), 1)
        lines.append(_bar(contender, rate, length, top + _HEAD + _STEP * number))
    return lines


def _bar(contender: Contender, rate: float, length: int, top: int) -> str:
    kind = "ours" if contender.ours else "peer"
    middle = top + 14
    return (
        f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{escape(contender.name)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{length}" height="{_BAR}" rx="2"/>'
        f'<text x="{_LEFT + length + 8}" y="{middle}">{rate:,.0f}</text>'
    )
