"""What was measured, as a table for a person and as JSON. Measures nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from . import machine, works
from .comparison import OURS, Compared, Measured, Setting


def as_json(compared: Sequence[Compared], setting: Setting, missing: Sequence[str], bare_peak: int | None) -> Any:
    """Everything, raw runs included, in bytes and seconds."""
    model = setting.model
    return {
        "machine": machine.describe(),
        "model": {"title": model.title, "weight_bytes": model.weight_bytes, "start": model.start},
        "setting": {
            "runs": setting.runs,
            "device": setting.device,
            "card": setting.card,
            "dtype": setting.dtype,
            "tolerance": setting.tolerance,
            "lm_eval_batch_sizes": list(setting.batch_sizes),
            "seed": works.SEED,
        },
        "missing": list(missing),
        "torch_import_peak_bytes": bare_peak,
        "works": {one.work: _work(one, model.weight_bytes) for one in compared},
    }


def _work(one: Compared, weight_bytes: int) -> dict[str, Any]:
    return {
        "what": one.what,
        "tokens": one.tokens,
        "cost": asdict(one.cost),
        "limit_seconds": one.limit_seconds,
        "rates": one.rates,
        "contestants": {m.contestant: _contestant(m, one, weight_bytes) for m in one.measured},
    }


def _contestant(m: Measured, one: Compared, weight_bytes: int) -> dict[str, Any]:
    if not m.seconds:
        return {"failed": m.failed}
    return {
        "seconds": m.seconds,
        "scale": m.scale,
        "median": m.median,
        "times_lmscore": m.median / _ours(one).median,
        "tokens_per_second": one.tokens / m.median,
        "share_of_limit": None if one.limit_seconds is None else one.limit_seconds / m.median,
        "peak_bytes": m.peaks,
        "peak_above_weights": None if m.peak is None else m.peak - weight_bytes,
        "batch_size": m.batch_size,
        "difference": m.difference,
        "failed": m.failed,
    }


def _ours(one: Compared) -> Measured:
    return next(m for m in one.measured if m.contestant == OURS)


def table(compared: Sequence[Compared], weight_bytes: int) -> Table:
    """Medians; a time scaled up from a sample has a ~ before it."""
    found = Table(title="seconds from text to totals (start: whole processes)", title_justify="left")
    for heading, justify in COLUMNS.items():
        found.add_column(heading, justify=justify)  # type: ignore[arg-type]  # the literals of JustifyMethod
    for one in compared:
        name, tokens = one.work, f"{one.tokens:,}" if one.tokens else ""
        for m in one.measured:
            found.add_row(name, tokens, *_cells(m, one, weight_bytes))
            name = tokens = ""
        if one.limit_seconds is not None:
            found.add_row("", "", "matrix products alone", _seconds(one.limit_seconds), *[""] * 6, style="dim")
        found.add_section()
    return found


COLUMNS = {
    "work": "left",
    "tokens": "right",
    "contestant": "left",
    "median": "right",
    "min-max": "right",
    "× lmscore": "right",
    "tokens/s": "right",
    "of limit": "right",
    "peak MB": "right",
    "above weights": "right",
}


def _cells(m: Measured, one: Compared, weight_bytes: int) -> list[str]:
    if not m.seconds:
        return [m.contestant, "failed"]
    name = m.contestant if m.batch_size is None else f"{m.contestant}, batch {m.batch_size}"
    about, (fastest, slowest) = "~" * (m.scale > 1), m.spread
    return [
        name,
        about + _seconds(m.median),
        f"{_seconds(fastest)}-{_seconds(slowest)}",
        f"{m.median / _ours(one).median:.2f}",
        f"{one.tokens / m.median:,.0f}" if one.tokens else "",
        "" if one.limit_seconds is None else f"{one.limit_seconds / m.median:.0%}",
        "" if m.peak is None else f"{m.peak / 1e6:,.0f}",
        "" if m.peak is None else f"{(m.peak - weight_bytes) / 1e6:,.0f}",
    ]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds >= 0.1 else f"{seconds:.4f}"
