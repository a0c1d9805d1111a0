"""A catalogue model as others read it: the slow twin, and the peers of the benchmark."""

import shutil
from itertools import starmap
from pathlib import Path

from safetensors.torch import load_file, save_file

from lmscore.weights import in_one_piece, to_use


def as_saved(folder: Path, place: Path) -> Path:
    """Write a folder of `conversion`'s as `save_pretrained` would have; its weights may lie transposed."""
    shutil.copytree(folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = starmap(to_use, load_file(folder / "model.safetensors").items())
    save_file({name: in_one_piece(weight) for name, weight in weights}, place / "model.safetensors", {"format": "pt"})
    return place
