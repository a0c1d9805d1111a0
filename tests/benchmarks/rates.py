"""How fast this machine multiplies a model's matrices: `python -m tests.benchmarks.rates JOB ANSWER`.

Each shape goes through every kernel that torch has for it, with as many rows as scorers use; the fastest counts. As in
a model, every layer's weight takes its turn, so that none waits in a cache.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROWS = {"cpu": (512, 1024), "cuda": (2048, 8192)}
BLOCKS = {"cpu": 2048, "cuda": 16_384}
"""Columns of the output head that are multiplied together."""


def main(asked: str, answered: str) -> None:
    job = json.loads(Path(asked).read_text(encoding="utf-8"))
    device, dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
    with torch.inference_mode():
        body = [_best(k, n, job["layers"], device, dtype, job["trial"]) for k, n in job["body"]]
        k, n = job["head"]
        block = min(n, BLOCKS.get(device.type, BLOCKS["cpu"]))
        head = _best(k, block, n // block, device, dtype, job["trial"])
    Path(answered).write_text(json.dumps([*body, head]), encoding="utf-8")


def _best(k: int, n: int, count: int, device: torch.device, dtype: torch.dtype, trial: float) -> tuple[float, str]:
    """Floating-point operations a second with `count` weights in turn, and the name of the kernel."""
    weights = [torch.randn(n, k).to(device, dtype) for _ in range(count)]  # [N, K] each
    found: dict[tuple[float, str], Callable[[float], float]] = {}
    for rows in ROWS.get(device.type, ROWS["cpu"]):
        x = torch.randn(rows, k).to(device, dtype)  # [R, K]
        for name, multiply, laid_out in _kernels(x, weights):
            rate = partial(_rate, multiply, laid_out, device, 2 * rows * k * n * count)
            found[rate(0.0), name] = rate
    first = max(found)
    return found[first](trial), first[1]


def _kernels(x: Tensor, weights: Sequence[Tensor]) -> Iterator[tuple[str, Callable[[Any], Tensor], Sequence[Any]]]:
    """Name, product of `x` with a weight, and the weights as the kernel wants them laid out."""
    yield "linear", lambda weight: torch.nn.functional.linear(x, weight), weights
    yield "mm", lambda weight: torch.mm(x, weight), [weight.t().contiguous() for weight in weights]
    if x.device.type != "cpu":
        return
    ops: Any = torch.ops
    # What torch's compiler calls: not its public interface, so a torch may lack them.
    with suppress(AttributeError, RuntimeError):
        packed = [ops.mkldnn._reorder_linear_weight(weight, len(x)) for weight in weights]
        ops.mkldnn._linear_pointwise(x, packed[0], None, "none", [], "")
        yield "oneDNN packed", lambda weight: ops.mkldnn._linear_pointwise(x, weight, None, "none", [], ""), packed
    with suppress(AttributeError, RuntimeError):
        mkl = [(ops.mkl._mkl_reorder_linear_weight(weight, len(x)), weight) for weight in weights]
        ops.mkl._mkl_linear(x, *mkl[0], None, len(x))
        yield "MKL packed", lambda pair: ops.mkl._mkl_linear(x, *pair, None, len(x)), mkl


def _rate(
    multiply: Callable[[Any], Tensor], weights: Sequence[Any], device: torch.device, operations: int, trial: float
) -> float:
    """Operations a second: the median of goes through all weights, of as many as fill a trial."""
    multiply(weights[0])
    goes: list[float] = []
    while not goes or sum(goes) < trial:
        _settle(device)
        began = time.perf_counter()
        for weight in weights:
            multiply(weight)
        _settle(device)
        goes.append(time.perf_counter() - began)
    return operations / statistics.median(goes)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
