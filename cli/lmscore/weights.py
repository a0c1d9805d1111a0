"""The weights of a safetensors file that `conversion` wrote: how they lie there, and how they are mapped, which costs
no memory of their own, or read.

Knows one file, and of a model the names of its projections. In the file stand eight bytes that say how long the header
is; the header, JSON, with each tensor's shape and place; and the tensors (https://huggingface.co/docs/safetensors).
That library maps all of a file for each time that it is opened; here no more of it is mapped than is asked for, lest
pages count twice.
"""

import json
import math
import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from .errors import LmscoreError

ITEM = torch.float32.itemsize

UNIT_PART = 768
"""Columns of a gated unit that are worked out, and summed up, together, in float32 on a CPU.

oneDNN adds up a whole row of products one after the other. Where one of them is a thousand times larger than the rest,
as it is at a start symbol (see `linear.FEWEST_ROWS`), all that come behind it lose digits: on the default model 1.2e-4
nats at a text's first token, and a third of that with sums of half the length.
"""

TRANSPOSED = "_t"
"""Ends the name of a weight that lies transposed in its file."""


def to_store(name: str, weight: Tensor) -> tuple[str, Tensor]:
    """How a weight [N, K] is to lie in a file that is mapped, and its name there: transposed, [K, N], in which oneDNN
    multiplies with it as fast as if it were packed; those of a gated unit in P parts, [P, K, N / P]: see `UNIT_PART`.

    Embeddings and norms, which nothing is gained for, stay as they are.
    """
    if not name.endswith("_proj.weight"):
        return name, weight
    if name.endswith((".gate_proj.weight", ".up_proj.weight")):
        part = next(size for size in range(min(UNIT_PART, len(weight)), 0, -1) if len(weight) % size == 0)
        weight = weight.view(-1, part, weight.shape[1])
    return name + TRANSPOSED, weight.mT.contiguous()


def to_use(name: str, weight: Tensor) -> tuple[str, Tensor]:
    """A weight as it lies in such a file, looked at as `decoder` takes it: [N, K], or in parts, [P, N / P, K]."""
    return (name.removesuffix(TRANSPOSED), weight.mT) if name.endswith(TRANSPOSED) else (name, weight)


def in_one_piece(weight: Tensor) -> Tensor:
    """A weight as other files have it: [N, K], row by row."""
    return (weight.flatten(0, 1) if weight.dim() == 3 else weight).contiguous()


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of float32 as it lies in a file.

    Attributes:
        first: the byte of the file that it begins with.
    """

    path: Path
    shape: tuple[int, ...]
    first: int

    @property
    def end(self) -> int:
        """The byte behind its last."""
        return self.first + ITEM * math.prod(self.shape)

    @property
    def _row_bytes(self) -> int:
        return ITEM * math.prod(self.shape[1:])

    def part(self, first: int, count: int) -> "Stored":
        """Rows `first` to `first + count`, as far as there are any."""
        count = min(count, self.shape[0] - first)
        return Stored(self.path, (count, *self.shape[1:]), self.first + first * self._row_bytes)

    def rows(self, ids: Sequence[int]) -> Tensor:
        """Some rows, read: [N, ...]. Were they mapped, with each would come a page of up to two megabytes.

        Raises:
            LmscoreError: the file has gone, or its end.
        """
        size = self._row_bytes
        found = bytearray(len(ids) * size)
        room = memoryview(found)
        with _opened(self.path) as file:
            for at, id in enumerate(ids):
                file.seek(self.first + id * size)
                if file.readinto(room[at * size : (at + 1) * size]) != size:
                    raise OSError("it is shorter now")
        return torch.frombuffer(found, dtype=torch.float32).view(-1, *self.shape[1:])


def stored(path: Path) -> dict[str, Stored]:
    """The tensors of a file, in the order of their names.

    Raises:
        OSError, ValueError, KeyError: it cannot be read, or is no such file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, told in sorted(header.items()):
        if told["dtype"] != "F32":
            raise ValueError(f"{name} is {told['dtype']}")
        found[name] = Stored(path, tuple(told["shape"]), 8 + length + told["data_offsets"][0])
    return found


def by_layer(tensors: dict[str, Stored]) -> Iterator[tuple[str, Tensor]]:
    """All tensors, those of a layer mapped together: a layer's pages go once nobody looks at it any more."""
    for _, names in groupby(tensors, key=lambda name: name.split(".")[:3]):
        layer = list(names)
        yield from zip(layer, mapped(tensors[name] for name in layer), strict=True)


def mapped(tensors: Iterable[Stored]) -> list[Tensor]:
    """Tensors that stand together in a file, mapped together: their pages stay as long as one of them is in use, and
    with them a file handle.

    Raises:
        LmscoreError: the file has gone, or its end.
    """
    tensors = list(tensors)
    first, end = min(one.first for one in tensors), max(one.end for one in tensors)
    begin = first - first % mmap.ALLOCATIONGRANULARITY
    with _opened(tensors[0].path) as file:
        if tensors[0].path.stat().st_size < end:
            raise OSError("it is shorter now")
        pages = mmap.mmap(file.fileno(), end - begin, access=mmap.ACCESS_COPY, offset=begin)
    return [
        torch.frombuffer(pages, dtype=torch.float32, count=math.prod(one.shape), offset=one.first - begin).view(
            one.shape
        )
        for one in tensors
    ]


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    """A file that was there when its header was read."""
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as err:
        raise LmscoreError(f"cannot go on reading {path} ({err.strerror or err}); start the command again") from err
