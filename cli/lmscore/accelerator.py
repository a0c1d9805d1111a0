"""Tensors to an accelerator and back, without waiting for what that is busy with; how many fit; what it is quick at.

Work that is sent to a CUDA device is done in the order in which it was sent. An ordinary copy waits until all of it is;
one from or to memory that the operating system may not move is itself only sent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Columns = Mapping[str, Tensor]
"""Tensors by name: [A], or [A, K]."""

Arriving = Callable[[], Columns]
"""Waits for columns, and gives them."""


SHARE_OF_FREE = 0.25
"""Of an accelerator's free memory, what rows that are read together may take there."""


def most_rows(bytes_a_row: int, device: torch.device) -> int | None:
    """How many rows an accelerator may read together; None for a CPU, or where nobody says what is free.

    Coarsely, by powers of two: sums differ in their last digits with what is read together, and so they seldom do.
    """
    free = _free_bytes(device)
    return None if free is None else 1 << max(int(SHARE_OF_FREE * free) // bytes_a_row, 1).bit_length() - 1


def _free_bytes(device: torch.device) -> int | None:
    """What an accelerator has left, what torch keeps there for later included."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return None


def out_of_memory(err: BaseException) -> bool:
    """Whether an error says that memory ran out, whichever allocator noticed."""
    return isinstance(err, MemoryError | torch.OutOfMemoryError) or any(
        words in str(err)
        for words in ("allocate memory", "out of memory")  # a CPU, and Apple's chips
    )


def sent(numbers: Tensor | Sequence[int] | Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Whole numbers on their way from the CPU to a device: what is sent there later finds them.

    There, an array is not copied: it must not change as long as what is returned is used.
    """
    tensor = torch.asarray(numbers, dtype=torch.int64)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def attention_of_any_shape() -> Iterator[None]:
    """Attention without cuDNN, which takes some 10 ms to prepare for each shape it has not met: texts have many."""
    enabled: bool = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(enabled)


def has_flash_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has the kernel that lets heads share keys, and holds no pair of rows in memory."""
    half = dtype in (torch.bfloat16, torch.float16)
    return half and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere


def fetched(columns: Columns) -> Arriving:
    """Columns on their way to the CPU: who needs them waits for them."""
    on_cuda = [column.device for column in columns.values() if column.is_cuda]
    coming = {name: column.to("cpu", non_blocking=bool(on_cuda)) for name, column in columns.items()}
    if not on_cuda:
        return lambda: coming
    there: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    there.record(torch.cuda.current_stream(on_cuda[0]))

    def wait() -> Columns:
        there.synchronize()
        return coming

    return wait
