"""Contestants score the same work in turn, A B C A B C; their totals must agree before their times are compared.

Knows no contestant's inside: each is a process (`contestant`). Imports no torch (see `works`).
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lmscore import catalogue, download

from . import children, machine
from .matrices import Cost, Matrices, Shape, cost
from .works import Request, Work

OURS = "lmscore"
PEERS = {"lm-eval": "lm-eval", "minicons": "minicons"}
"""Contestants, and the packages they need."""

STAND_IN = "transformers"
"""Takes part where there is no peer, so that there is always somebody to agree with."""

CACHED = "transformers, cache"
"""Takes part wherever candidates are ranked: a person's own loop, which reads their context once."""

BATCH = 16
"""What minicons and that loop run with."""

Say = Callable[[str], None]


class Disagreement(Exception):
    """Two contestants give a text different totals, so their times are not for the same thing."""


@dataclass(frozen=True, slots=True)
class Model:
    """Weights that all contestants read.

    Attributes:
        name: as lmscore takes it.
        title: as a reader should see it; never a path.
        start: the id of the start symbol.
    """

    name: str
    folder: Path
    title: str
    start: int

    @classmethod
    def find(cls, name: str, place: Path, title: str = "a model of one's own") -> "Model":
        """A catalogue name, fetched first if need be, or a folder in transformers' layout.

        Args:
            place: where a catalogue model is written in that layout, for others to read.
        """
        if entry := catalogue.CATALOGUE.get(name):
            children.call("saved", [str(download.fetch(entry)), str(place)])
            return cls(name, place, entry.title, entry.bos_id)
        folder = Path(name).resolve()
        special = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        start = tokenizer.token_to_id(special.get("bos_token") or special.get("eos_token") or "")
        if start is None:
            raise children.Failed(f"{name}: its tokenizer has neither BOS nor EOS; the contestants need a start symbol")
        return cls(str(folder), folder, title, start)

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    @property
    def matrices(self) -> Matrices:
        return Matrices.of(json.loads((self.folder / "config.json").read_text(encoding="utf-8")))

    @property
    def weight_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))


@dataclass(frozen=True, slots=True)
class Setting:
    """How to compare.

    Attributes:
        batch_sizes: what lm-eval tries; it keeps the best.
        tolerance: nats a token by which totals may differ.
        card: the accelerator's name.
        trial: seconds that each matrix product is repeated for.
    """

    model: Model
    runs: int = 5
    batch_sizes: Sequence[int] = (1, 8, 16, 32)
    tolerance: float = 1e-4
    device: str = "cpu"
    dtype: str = "float32"
    card: str | None = None
    trial: float = 0.3


@dataclass(slots=True)
class Measured:
    """One contestant's runs.

    Attributes:
        seconds: of each run, for the requests that it scored.
        peaks: bytes, of each run's process, or on the accelerator; None where the system does not say.
        scale: by how much the whole work is larger than what it scored.
        difference: nats a token, the most that a total differs from lmscore's.
        failed: why there are no runs.
    """

    contestant: str
    seconds: list[float] = field(default_factory=list)
    peaks: list[int | None] = field(default_factory=list)
    batch_size: int | None = None
    scale: float = 1.0
    difference: float | None = None
    failed: str | None = None

    @property
    def median(self) -> float:
        """Seconds for the whole work."""
        return self.scale * statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        return self.scale * min(self.seconds), self.scale * max(self.seconds)

    @property
    def peak(self) -> int | None:
        return max((peak for peak in self.peaks if peak is not None), default=None)


@dataclass(frozen=True, slots=True)
class Compared:
    """A work's outcome.

    Attributes:
        tokens: scored tokens.
        rates: floating-point operations a second by matrix shape, of each run, and the kernel that gave them.
    """

    work: str
    what: str
    tokens: int
    cost: Cost
    limit_seconds: float | None
    rates: list[dict[str, tuple[float, str]]]
    measured: list[Measured]


def contestants(peers: Sequence[str]) -> tuple[list[str], list[str]]:
    """Who takes part, and which of these peers are missing."""
    there = [name for name in peers if machine.version(PEERS[name])]
    return [OURS, *(there or [STAND_IN])], [name for name in peers if name not in there]


def compare(work: Work, setting: Setting, names: Sequence[str], say: Say) -> Compared:
    """Let contestants score a work, in turn, with the machine's matrix rates measured beside them.

    Raises:
        Disagreement: totals differ by more than the tolerance.
        children.Failed: lmscore itself failed. A peer that fails is recorded as that.
    """
    matrices = setting.model.matrices
    taking_part = [*names, CACHED] if work.ranked else names
    measured = [Measured(name) for name in taking_part if work.peers or name == OURS]
    rates: list[dict[Shape, tuple[float, str]]] = []
    ours: list[float] = []
    for contestant in measured:
        contestant.batch_size = _batch_size(contestant, work, setting, say)
    for number in range(setting.runs):
        rates.append(_rates(setting, matrices))
        for contestant in measured:
            totals = _take_turn(contestant, work, setting, number, say)
            ours = ours or totals
            check(contestant, work, ours, totals, setting.tolerance)
    needed = cost(work.requests, setting.model.start)
    limits = [matrices.seconds(needed, {shape: rate for shape, (rate, _) in found.items()}) for found in rates]
    named = [{f"{k}x{n}": rate for (k, n), rate in found.items()} for found in rates]
    tokens = sum(len(request.ids) for request in work.requests)
    return Compared(work.name, work.what, tokens, needed, statistics.median(limits), named, measured)


def _batch_size(contestant: Measured, work: Work, setting: Setting, say: Say) -> int | None:
    """What a contestant runs with: lm-eval with the fastest of several, tried in runs that do not count."""
    most = len(_scored(contestant.contestant, work))
    if contestant.contestant != "lm-eval":
        return min(BATCH, most) if contestant.contestant in (CACHED, *PEERS) else None
    seconds: dict[int, float] = {}
    for size in sorted({min(size, most) for size in setting.batch_sizes}):
        answer = _run(contestant, work, setting, size, f"{work.name}: lm-eval tries batch {size}", say)
        if answer is not None:
            seconds[size] = answer["seconds"]
    if seconds:
        contestant.failed = None  # a size too large for the memory is only left out
    return min(seconds, key=lambda size: seconds[size], default=1)


def _take_turn(contestant: Measured, work: Work, setting: Setting, number: int, say: Say) -> list[float]:
    """A contestant's run: its totals, or none where it failed."""
    if contestant.failed:
        return []
    label = f"{work.name}: {contestant.contestant}, run {number + 1}"
    answer = _run(contestant, work, setting, contestant.batch_size or 1, label, say)
    if answer is None:
        return []
    contestant.seconds.append(answer["seconds"])
    contestant.peaks.append(answer["peak"])
    totals: list[float] = answer["totals"]
    return totals


def _run(
    contestant: Measured, work: Work, setting: Setting, batch_size: int, label: str, say: Say
) -> dict[str, Any] | None:
    """What a contestant's process answers, and its ``peak``, in bytes; None where it failed, and `failed` says why."""
    requests = _scored(contestant.contestant, work)
    contestant.scale = _ids(work.requests) / _ids(requests)
    contestant.failed = None
    try:
        answer, ended = children.call("contestant", _job(contestant.contestant, work, requests, setting, batch_size))
        if len(answer["totals"]) != len(requests):
            raise children.Failed(f"{len(answer['totals'])} totals for {len(requests)} texts")
    except children.Failed as err:
        if contestant.contestant == OURS:
            raise
        say(f"{label}: failed: {err}")
        contestant.failed = str(err)
        return None
    say(f"{label}: {answer['seconds']:.2f} s")
    return {**answer, "peak": answer["device_peak"] or ended.peak}


def _job(name: str, work: Work, requests: Sequence[Request], setting: Setting, size: int) -> dict[str, Any]:
    model = setting.model
    return {
        "contestant": name,
        "model": model.name,
        "folder": str(model.folder),
        "device": setting.device,
        "dtype": setting.dtype,
        "start": model.start,
        "batch_size": size,
        "ranked": work.ranked,
        "warm": setting.device != "cpu" or work.sample is not None,
        "requests": [{"text": one.text, "context": one.context, "ids": one.ids} for one in requests],
    }


def _rates(setting: Setting, matrices: Matrices) -> dict[Shape, tuple[float, str]]:
    job = {
        "device": setting.device,
        "dtype": setting.dtype,
        "body": list(matrices.body),
        "head": matrices.head,
        "layers": matrices.layers,
        "trial": setting.trial,
    }
    answer, _ = children.call("rates", job)
    return {shape: (rate, kernel) for shape, (rate, kernel) in zip(matrices.shapes, answer, strict=True)}


def check(contestant: Measured, work: Work, ours: Sequence[float], theirs: Sequence[float], tolerance: float) -> None:
    """Hold a contestant's totals against lmscore's, and keep the largest difference.

    Raises:
        Disagreement: one is too large.
    """
    for request, one, other in zip(work.requests, ours, theirs, strict=False):
        difference = abs(one - other) / len(request.ids)
        if not difference <= tolerance:  # NaN too
            raise Disagreement(
                f"{work.name}: {contestant.contestant} gives {request.text[:40]!r} {other:.5f} nats, lmscore "
                f"{one:.5f}: {difference:.1e} a token apart, where {tolerance:.0e} is allowed; no times are compared"
            )
        if contestant.contestant != OURS:
            contestant.difference = max(difference, contestant.difference or 0.0)


def _scored(contestant: str, work: Work) -> Sequence[Request]:
    """The requests that a contestant scores: all, or a sample where it reads the context again for each."""
    return work.requests if contestant in (OURS, CACHED) else work.requests[: work.sample]


def _ids(requests: Sequence[Request]) -> int:
    """Ids that a contestant reads if it shares none."""
    return sum(len(request.context_ids or []) + len(request.ids) for request in requests)
