"""How fast this machine multiplies a model's matrices at best: `python -m tests.benchmarks.rates JOB ANSWER`.

Each shape goes through every kernel that torch has for it, with as many rows as scorers use; the fastest counts.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROWS = {"cpu": (256, 1024), "cuda": (2048, 8192)}
FEWEST = 4
BLOCK = 4096
"""Columns of the widest product that are tried alone: their results stay in cache."""


def main(asked: str, answered: str) -> None:
    job = json.loads(Path(asked).read_text(encoding="utf-8"))
    device, dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
    with torch.inference_mode():
        rates = [_best(k, n, device, dtype, job["trial"]) for k, n in job["shapes"]]
    Path(answered).write_text(json.dumps(rates), encoding="utf-8")


def _best(k: int, n: int, device: torch.device, dtype: torch.dtype, trial: float) -> tuple[float, str]:
    """Floating-point operations a second, and the name of the kernel."""
    found: list[tuple[float, str]] = []
    for rows in ROWS.get(device.type, ROWS["cpu"]):
        for columns in {n, min(n, BLOCK)}:
            x = torch.randn(rows, k).to(device, dtype)  # [R, K]
            weight = torch.randn(columns, k).to(device, dtype)  # [N, K]
            for name, product in _kernels(x, weight):
                found.append((2 * rows * k * columns / _seconds(product, device, trial), name))
    return max(found)


def _kernels(x: Tensor, weight: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    turned = weight.t().contiguous()
    yield "linear", lambda: torch.nn.functional.linear(x, weight)
    yield "mm", lambda: torch.mm(x, turned)
    if x.device.type != "cpu":
        return
    ops: Any = torch.ops
    try:  # what torch's compiler calls: not its public interface, so a torch may lack them
        packed = ops.mkldnn._reorder_linear_weight(weight, len(x))
        ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        yield "oneDNN packed", lambda: ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        mkl = ops.mkl._mkl_reorder_linear_weight(weight.to_mkldnn(), len(x))
        ops.mkl._mkl_linear(x, mkl, weight, None, len(x))
        yield "MKL packed", lambda: ops.mkl._mkl_linear(x, mkl, weight, None, len(x))
    except (AttributeError, RuntimeError):
        return


def _seconds(product: Callable[[], Tensor], device: torch.device, trial: float) -> float:
    """The fastest of several goes."""
    product()
    fastest, spent, goes = float("inf"), 0.0, 0
    while spent < trial or goes < FEWEST:
        _settle(device)
        began = time.perf_counter()
        product()
        _settle(device)
        taken = time.perf_counter() - began
        fastest, spent, goes = min(fastest, taken), spent + taken, goes + 1
    return fastest


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(*sys.argv[1:])
