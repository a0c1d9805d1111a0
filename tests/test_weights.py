"""A file's tensors, mapped and read: the same as safetensors gives, and no more of the file than is asked for."""

import math
import mmap
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmscore import LmscoreError, Text, open_scorer
from lmscore.decoder import EMBEDDINGS, Decoder
from lmscore.weights import Stored, by_layer, mapped, stored

SHAPES = {EMBEDDINGS: (700, 24), "model.norm.weight": (24,)} | {
    f"model.layers.{layer}.{part}": (24, 500 + layer) for layer in (0, 1, 10) for part in ("mlp", "own")
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = torch.Generator().manual_seed(3)
    tensors = {name: torch.randn(shape, generator=random) for name, shape in SHAPES.items()}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    return tmp_path / "model.safetensors"


@pytest.fixture
def table(path: Path) -> Stored:
    return stored(path)[EMBEDDINGS]


def test_all_tensors_are_those_of_the_file(path: Path) -> None:
    expected, found = load_file(path), dict(by_layer(stored(path)))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.equal(expected[name]), name


def test_rows_are_read_and_parts_mapped(path: Path, table: Stored) -> None:
    expected = load_file(path)[EMBEDDINGS]
    ids = [699, 0, 350, 0]
    assert table.rows(ids).equal(expected[ids])
    assert mapped([table.part(512, 256)])[0].equal(expected[512:])
    assert table.part(100, 50).rows([0, 49]).equal(expected[[100, 149]])


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what is mapped")
def test_no_more_is_mapped_than_is_asked_for(path: Path, table: Stored) -> None:
    def bytes_mapped() -> int:
        spans = re.findall(rf"^(\w+)-(\w+) .*{re.escape(str(path))}$", Path("/proc/self/maps").read_text(), re.M)
        return sum(int(end, 16) - int(begin, 16) for begin, end in spans)

    held = mapped([table.part(350, 350)])
    assert 0 <= bytes_mapped() - 350 * 24 * 4 <= 2 * mmap.PAGESIZE
    held.clear()
    assert bytes_mapped() == 0
    layers = dict(by_layer(stored(path)))
    assert 0 <= bytes_mapped() + mmap.PAGESIZE - path.stat().st_size <= 5 * 2 * mmap.PAGESIZE
    del layers
    assert bytes_mapped() == 0


def test_a_file_that_goes_while_it_is_in_use(path: Path, table: Stored) -> None:
    with path.open("r+b") as file:
        file.truncate(table.end - 8)
    assert len(table.rows([698])) == 1
    with pytest.raises(LmscoreError, match=r"cannot go on reading .*model.safetensors \(it is shorter now\); start"):
        table.rows([699])
    with pytest.raises(LmscoreError, match=r"cannot go on reading .*it is shorter now"):
        mapped([table])
    path.unlink()
    with pytest.raises(LmscoreError, match=r"cannot go on reading .* \(No such file"):
        table.rows([0])


def test_only_what_conversion_writes_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, dtype=torch.float16)}, tmp_path / "half.safetensors")
    with pytest.raises(ValueError, match="a is F16"):
        stored(tmp_path / "half.safetensors")


def test_a_decoder_finds_its_embeddings_in_the_file(
    folder_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of("llama")
    scorer = open_scorer(str(folder), device="cpu")
    network = scorer._network
    assert isinstance(network, Decoder)
    texts = [Text("Whatever is looked up is looked up once."), Text("zyx"), Text("And zyx, and nobody can tell.")]
    before = [score.logprobs for score in scorer.scores(texts)]
    embeddings = stored(folder / "model.safetensors")[EMBEDDINGS]
    assert math.prod(embeddings.shape) == network._table.numel()  # type: ignore[union-attr]
    monkeypatch.setattr(network, "_table", embeddings)
    assert [score.logprobs for score in scorer.scores(texts)] == before
    monkeypatch.setattr(network, "_table", embeddings.part(1, embeddings.shape[0]))
    assert [score.logprobs for score in scorer.scores(texts)] != before
