"""Linear maps through the operators that are quickest on the device at hand; knows no network.

On a CPU these are oneDNN's, which torch's own compiler calls; but on an Intel processor, in float32, MKL's, which
`torch.nn.functional.linear` calls there. oneDNN's are not torch's public interface: whether they are there and compute
what they should is tried when this is imported.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 512
"""Rows that go through a layer together on a CPU: enough to multiply well, few enough to stay in its cache."""

FEWEST_ROWS = 8
"""Fewer rows than this are filled up with rows that nobody reads.

CPU libraries multiply very thin matrices with other kernels, and models amplify the difference: the hidden state of a
start symbol grows a thousandfold on its way and cancels again (Sun et al. 2024, "Massive Activations in Large Language
Models"). On the default model a lone short text would be 1.6e-4 nats off what it gets in a batch, at its first token.
"""


class Linear:
    """``x Wᵀ + b``, and what often comes right after it."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self.width: int = weight.shape[0]

    @staticmethod
    def of(weight: Tensor, bias: Tensor | None = None) -> "Linear":
        """Through the operators that are quickest for weights as they stand."""
        whole = weight.is_contiguous() or weight.mT.is_contiguous()
        fuses = weight.device.type == "cpu" and weight.dtype in FUSED and whole
        return _Fused(weight, bias) if fuses else Linear(weight, bias)

    def __call__(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight, self.bias)

    def rows(self, first: int, count: int) -> "Linear":
        """The map to `count` of the outputs."""
        end = first + count
        return Linear.of(self.weight[first:end], None if self.bias is None else self.bias[first:end])

    def columns(self, first: int, count: int) -> "Linear":
        """The map from `count` of the inputs; of all parts, the first has the bias."""
        return Linear.of(self.weight[:, first : first + count], None if first else self.bias)

    def silu(self, rows: Tensor) -> Tensor:
        return F.silu(self(rows), inplace=True)

    def times(self, rows: Tensor, other: Tensor) -> Tensor:
        return self(rows).mul_(other)

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """The sum, perhaps in the place of `other`: use only what is returned."""
        if self.bias is not None or other.device.type == "cpu":  # see weights.UNIT_PART: the other may be far larger
            return other.add_(self(rows))
        return other.addmm_(rows, self.weight.T)

    def packed(self, room: Tensor) -> "Linear":
        """The same, on a CPU, with its weights laid out anew as oneDNN reads them, where that can be had, and pays:
        transposed ones are as quick as they are.

        Args:
            room: [N], of the same dtype. Weights that do not stand in one piece, up to so many, are gathered there
                first: an allocator could not well use again what each by itself would leave behind.
        """
        weight = self.weight
        if weight.dtype not in FUSED or weight.is_mkldnn or weight.mT.is_contiguous():
            return self
        if not weight.is_contiguous() and weight.numel() <= len(room):
            weight = room[: weight.numel()].view(weight.shape).copy_(weight)
        return _Fused(ONEDNN._reorder_linear_weight(weight, CHUNK), self.bias)


ONEDNN: Any = torch.ops.mkldnn


class _Fused(Linear):
    """A linear map through the operators that torch's own compiler uses, with the next step fused into them.

    Its weights stand in one piece, row by row or column by column, or packed. (With a part of others' columns the
    operators take a thousand times as long.)
    """

    def __call__(self, rows: Tensor) -> Tensor:
        return self._then(rows, "none")

    def silu(self, rows: Tensor) -> Tensor:
        return self._then(rows, "swish")

    def times(self, rows: Tensor, other: Tensor) -> Tensor:
        product: Tensor = ONEDNN._linear_pointwise(rows, other, self.weight, self.bias, "mul")
        return product

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        total: Tensor = ONEDNN._linear_pointwise(rows, other, self.weight, self.bias, "add")
        return total

    def _then(self, rows: Tensor, step: str) -> Tensor:
        result: Tensor = ONEDNN._linear_pointwise(rows, self.weight, self.bias, step, [], "")
        return result


def holds(check: Callable[[torch.dtype], bool], dtype: torch.dtype) -> bool:
    """Whether a check of operators passes that are not torch's public interface: another torch may do without."""
    try:
        return check(dtype)
    except (AttributeError, RuntimeError, TypeError):
        return False


def _fuses(dtype: torch.dtype) -> bool:
    """Whether this torch and this processor have the operators, and they compute what they should."""
    weight = torch.eye(8, dtype=dtype).roll(1, 0)  # which, transposed, is another
    bias, rows = torch.ones(8, dtype=dtype), torch.arange(64.0).view(8, 8).to(dtype)
    plain = Linear(weight, bias)
    packed, transposed = ONEDNN._reorder_linear_weight(weight, CHUNK), weight.mT.contiguous().mT
    ways = [_Fused(one, bias) for one in (weight, packed, transposed)]
    steps: list[Callable[[Linear], Tensor]] = [
        lambda linear: linear(rows),
        lambda linear: linear.silu(rows),
        lambda linear: linear.times(rows, rows),
        lambda linear: linear.plus(rows, rows.clone()),
    ]
    rounding = max(1e-5, 2 * torch.finfo(dtype).eps)
    return all(torch.allclose(step(plain), step(way), rtol=rounding) for step in steps for way in ways)


def _by_mkl() -> frozenset[torch.dtype]:
    """The dtypes in which torch's plain products take a tenth less time than oneDNN's: float32 on an Intel processor,
    where they are MKL's. On others MKL's take up to half as long again.
    """
    backends: Any = torch.backends
    told: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # an earlier torch stays with oneDNN
    return frozenset({torch.float32} if backends.mkl.is_available() and "Intel" in told.get("cpu_name", "") else ())


FUSIBLE = frozenset(dtype for dtype in (torch.float32, torch.bfloat16) if holds(_fuses, dtype))
"""The dtypes in which oneDNN's operators are there and right."""

FUSED = FUSIBLE - _by_mkl()
"""Those in which `Linear.of` uses them."""
