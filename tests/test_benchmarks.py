"""The benchmark runs from end to end on a tiny model. What it measures there means nothing, and is asserted nowhere."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from tokenizers import Tokenizer

from .benchmarks import comparison, dataset, matrices, picture, rates, start, works

pytestmark = pytest.mark.slow  # each contestant is a process that imports torch and more

ROOT = Path(__file__).resolve().parents[1]


def _run(*words: object) -> str:
    command = [sys.executable, "-m", "tests.benchmarks", *map(str, words)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def smoke(folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a smoke run wrote, and what it printed; with the tests' own Llama, which needs no building."""
    output = tmp_path_factory.mktemp("results")
    return output, _run("rank-tree", "--smoke", "--model", folder_of("llama"), "--output", output)


@pytest.fixture(scope="module")
def results(smoke: tuple[Path, str]) -> Any:
    return json.loads(smoke[0].joinpath("results.json").read_text(encoding="utf-8"))


def test_totals_agree_before_times_are_compared(results: Any) -> None:
    others = {name: m for name, m in results["works"]["rank-tree"]["contestants"].items() if name != "lmscore"}
    assert comparison.CACHED in others and len(others) > 1
    assert all(m["difference"] <= results["setting"]["tolerance"] for m in others.values())


def test_every_peer_took_part_or_is_named_as_missing(smoke: tuple[Path, str], results: Any) -> None:
    took_part = set(results["works"]["rank-tree"]["contestants"])
    assert took_part | set(results["missing"]) >= set(comparison.PEERS)
    assert all(f"not compared: {name}" in smoke[1] for name in results["missing"])


def test_each_process_has_its_memory_and_each_work_its_limit(results: Any) -> None:
    tree = results["works"]["rank-tree"]
    assert tree["limit_seconds"] > 0
    if sys.platform != "win32":
        assert all(peak > 50e6 for m in tree["contestants"].values() for peak in m["peak_bytes"])


def test_results_name_no_path(smoke: tuple[Path, str]) -> None:
    written = smoke[0].joinpath("results.json").read_text(encoding="utf-8")
    assert str(smoke[0].parent) not in written and str(ROOT) not in written


def test_the_picture_is_svg_with_text_in_it(smoke: tuple[Path, str]) -> None:
    root = ElementTree.parse(smoke[0] / "results.svg").getroot()
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"lmscore", "rank-tree"} <= set(texts)


def test_lines_growth_and_start_run_too(tmp_path: Path) -> None:
    _run("--smoke", "lines", "growth", "start", "--output", tmp_path)  # and builds its own model
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["works"]
    assert set(found) == {"lines", "start", "help", *(f"growth-{size}" for size in works.SMOKE.growth)}
    assert set(found["start"]["contestants"]) == {comparison.OURS, start.BARE}


def test_a_work_that_does_not_exist_is_wrong_usage() -> None:
    ended = subprocess.run([sys.executable, "-m", "tests.benchmarks", "lins"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and "no work 'lins'" in ended.stderr


def test_totals_that_differ_stop_the_comparison() -> None:
    work = works.Work("lines", "", [works.Request("The cat", [5, 6])])
    measured = comparison.Measured("lm-eval")
    comparison.check(measured, work, [-3.0], [-3.0001], 1e-4)
    assert measured.difference == pytest.approx(5e-5)
    for wrong in (-3.001, float("nan")):
        with pytest.raises(comparison.Disagreement, match="lm-eval gives 'The cat'"):
            comparison.check(measured, work, [-3.0], [wrong], 1e-4)


def test_a_cost_counts_shared_ids_once() -> None:
    after = [works.Request("", ids, "", [7, 8]) for ids in ([1, 2, 3], [1, 2, 4], [5], [1, 2])]
    # Read: the start symbol, 7, 8, 1, 2. Asked after 8: 1 and 5; after 1: 2; after 2: 3 and 4.
    assert matrices.cost(after, 0) == matrices.Cost(rows=5, head_rows=3)
    assert matrices.cost([works.Request("", [1, 2]), works.Request("", [3, 2])], 0) == matrices.Cost(3, 3)


def test_the_products_of_a_model_are_all_its_weights(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    model = comparison.Model.find(str(folder_of("llama")), tmp_path)
    embeddings = norms = 0
    from safetensors import safe_open

    with safe_open(model.folder / "model.safetensors", framework="np") as tensors:
        for name in tensors.keys():  # noqa: SIM118  # not a mapping
            count = tensors.get_tensor(name).size
            embeddings += count * ("embed" in name)
            norms += count * ("norm" in name)
        everything = sum(tensors.get_tensor(name).size for name in tensors.keys())  # noqa: SIM118
    weights = everything - embeddings - norms
    each = dict.fromkeys(model.matrices.shapes, 1.0)
    assert model.matrices.seconds(matrices.Cost(1, 1), each) == 2 * weights


def test_the_limit_tries_every_kernel_that_this_torch_has() -> None:
    """One that is called in a wrong way would be taken for one that is not there."""
    backends: Any = torch.backends
    names = ["oneDNN packed"] * backends.mkldnn.is_available() + ["MKL packed"] * backends.mkl.is_available()
    x, weight = torch.randn(8, 4), torch.randn(6, 4)
    found = {name: multiply(laid_out[0]) for name, multiply, laid_out in rates._kernels(x, [weight])}
    assert found.keys() == {"linear", "mm", *names}
    for product in found.values():
        assert torch.allclose(product, x @ weight.T, atol=1e-5)


def test_works_hold_what_they_say(folder_of: Callable[[str], Path]) -> None:
    tokenizer = Tokenizer.from_file(str(folder_of("llama") / "tokenizer.json"))
    (long,) = works.build("long", works.SMOKE, tokenizer)
    assert 0.8 * works.SMOKE.long < len(long.requests[0].ids) <= works.SMOKE.long
    (rank,) = works.build("rank-long", works.SMOKE, tokenizer)
    assert len({request.context for request in rank.requests}) == 1 and rank.ranked
    small, large = works.build("growth", works.SMOKE, tokenizer)
    assert sum(len(request.ids) for request in large.requests) >= works.SMOKE.growth[1]
    assert not small.peers
    for name in works.NAMES:
        assert works.build(name, works.SMOKE, tokenizer) == works.build(name, works.SMOKE, tokenizer)


def test_a_picture_escapes_what_it_shows() -> None:
    measured = [comparison.Measured("lmscore", [1.0]), comparison.Measured("<a & b>", [2.0])]
    drawn = picture.draw([comparison.Compared("lines", "", 1, matrices.Cost(1, 1), 0.5, [], measured)], "where")
    assert "&lt;a &amp; b&gt;" in drawn
    ElementTree.fromstring(drawn)


def test_the_accelerator_needs_one(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    words = ["-m", "tests.benchmarks.accelerator", "--output", str(tmp_path)]
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: there is no CUDA device") and ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_dataset_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert dataset.main(["--lines", "100", "10000"]) == 0
    assert "exit code 130, a journal; finished, the file is the same" in capsys.readouterr().out
