"""How fast this machine multiplies a model's matrices: `python -m tests.benchmarks.rates JOB ANSWER`.

Each shape goes through every kernel that torch has for it, with rows enough to keep it busy; the fastest kernel counts.
As in a model, every layer's weight takes its turn, so that none waits in a cache.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROWS = {"cpu": 1024, "cuda": 8192}
BLOCK = 4096
"""A wider weight is multiplied in blocks of so many columns, whose results stay in cache."""


def main(asked: str, answered: str) -> None:
    job = json.loads(Path(asked).read_text(encoding="utf-8"))
    device, dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
    with torch.inference_mode():
        rates = [_best(k, n, device, dtype, job) for k, n in job["shapes"]]
    Path(answered).write_text(json.dumps(rates), encoding="utf-8")


def _best(k: int, n: int, device: torch.device, dtype: torch.dtype, job: dict[str, Any]) -> tuple[float, str]:
    """Floating-point operations a second, and the name of the kernel."""
    columns, count = (n, job["layers"]) if n <= BLOCK else (BLOCK, n // BLOCK)
    weights = [torch.randn(columns, k).to(device, dtype) for _ in range(count)]  # [N, K] each
    x = torch.randn(ROWS.get(device.type, ROWS["cpu"]), k).to(device, dtype)  # [R, K]
    goes = {name: partial(_seconds, product, laid_out, device) for name, product, laid_out in _kernels(x, weights)}
    fastest = min(goes, key=lambda name: goes[name](0.0))
    return 2 * len(x) * k * columns * count / goes[fastest](job["trial"]), fastest


def _kernels(x: Tensor, weights: Sequence[Tensor]) -> Iterator[tuple[str, Callable[[Any], Tensor], Sequence[Any]]]:
    """Name, product of `x` with a weight, and the weights as the kernel wants them laid out."""
    yield "linear", lambda weight: torch.nn.functional.linear(x, weight), weights
    yield "mm", lambda weight: torch.mm(x, weight), [weight.t().contiguous() for weight in weights]
    if x.device.type != "cpu":
        return
    ops: Any = torch.ops
    try:  # what torch's compiler calls: not its public interface, so a torch may lack them
        packed = [ops.mkldnn._reorder_linear_weight(weight, len(x)) for weight in weights]
        ops.mkldnn._linear_pointwise(x, packed[0], None, "none", [], "")
        yield "oneDNN packed", lambda weight: ops.mkldnn._linear_pointwise(x, weight, None, "none", [], ""), packed
        mkl = [(ops.mkl._mkl_reorder_linear_weight(weight.to_mkldnn(), len(x)), weight) for weight in weights]
        ops.mkl._mkl_linear(x, *mkl[0], None, len(x))
        yield "MKL packed", lambda pair: ops.mkl._mkl_linear(x, *pair, None, len(x)), mkl
    except (AttributeError, RuntimeError):
        return


def _seconds(product: Callable[[Any], Tensor], weights: Sequence[Any], device: torch.device, trial: float) -> float:
    """The median of goes through all weights, of as many as fill a trial."""
    product(weights[0])
    goes: list[float] = []
    while not goes or sum(goes) < trial:
        _settle(device)
        began = time.perf_counter()
        for weight in weights:
            product(weight)
        _settle(device)
        goes.append(time.perf_counter() - began)
    return statistics.median(goes)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
