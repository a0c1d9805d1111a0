"""What the benchmark ran on: processor, accelerator and versions. Names no path and no host."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("lmscore", "torch", "transformers", "lm-eval", "minicons")
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "bf16", "sve")
"""What decides how fast matrices are multiplied, as Linux names it."""


def describe() -> dict[str, Any]:
    about = _cpuinfo()
    flags = (about.get("flags") or about.get("Features") or "").split()
    return {
        "cpu": about.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {package: found for package in PACKAGES if (found := version(package))},
    }


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo() -> dict[str, str]:
    """The first processor, as Linux describes it; elsewhere nothing."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
