"""The medians as bars, in SVG written by hand: text stays text, colours follow the reader's light or dark scheme."""

from collections.abc import Iterator, Sequence
from html import escape

from .comparison import OURS, Compared, Measured

WIDTH, LEFT, RIGHT, ROW, GAP, TOP = 760, 220, 170, 20, 14, 60
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 } .note, .peer { fill: #57606a } .work { font-weight: 600 }
  .panel { fill: #ffffff } .ours { fill: #0969da } .bar { fill: #afb8c1 } .limit { stroke: #bc4c00; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note, .peer { fill: #9198a1 }
    .panel { fill: #0d1117 } .ours { fill: #4493f8 } .bar { fill: #484f58 } .limit { stroke: #f0883e }
  }
"""


def draw(compared: Sequence[Compared], subtitle: str) -> str:
    """One group of bars a work, each group to its own scale; works without a comparison are left out."""
    groups = [one for one in compared if len(_ran(one)) > 1]
    height = TOP + sum(GAP + ROW * (len(_ran(one)) + 1) for one in groups) + GAP
    shapes = [shape for shape in _groups(groups)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t">',
            f"<title id='t'>{escape(TITLE)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="panel" width="{WIDTH}" height="{height}" rx="8"/>',
            _text(16, 26, TITLE, "title"),
            _text(16, 46, subtitle, "note"),
            *shapes,
            "</svg>\n",
        ]
    )


TITLE = "Seconds to score, shorter is better (orange: the matrix products alone)"


def _ran(one: Compared) -> list[Measured]:
    return [m for m in one.measured if m.seconds]


def _groups(groups: Sequence[Compared]) -> Iterator[str]:
    y = TOP
    for one in groups:
        y += GAP
        tokens = f", {one.tokens:,} tokens" if one.tokens else ""
        yield _text(16, y + 14, one.work, "work")
        yield _text(LEFT, y + 14, one.what + tokens, "note")
        y += ROW
        rows = _ran(one)
        ours = next(m for m in rows if m.contestant == OURS).median
        scale = (WIDTH - LEFT - RIGHT) / max(m.median for m in rows)
        for m in rows:
            width = max(m.median * scale, 1)
            name = m.contestant if m.batch_size is None else f"{m.contestant}, batch {m.batch_size}"
            figure = f"{'~' * (m.scale > 1)}{m.median:,.2f} s"
            if m.contestant != OURS:
                figure += f"  ({m.median / ours:.1f}×)"
            kind = "ours" if m.contestant == OURS else "bar"
            yield _text(LEFT - 10, y + 14, name, "name" if kind == "ours" else "peer", "end")
            yield f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" rx="2"/>'
            yield _text(LEFT + width + 8, y + 14, figure, "name" if kind == "ours" else "peer")
            if one.limit_seconds is not None and kind == "ours":
                x = LEFT + one.limit_seconds * scale
                yield f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + ROW - 1}"/>'
            y += ROW


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
