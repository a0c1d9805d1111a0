"""Models and scorers that tests share; each is built once a run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from lmscore import open_scorer
from lmscore.scorer import Scorer

from . import models
from .cli import Cli
from .twin import Twin

settings.register_profile("quiet", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("quiet")
torch.set_num_threads(1)  # these models are so small that threads would only wait for each other


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random model, by architecture."""

    @cache
    def build(architecture: str) -> Path:
        torch.manual_seed(20)
        return models.ARCHITECTURES[architecture](tmp_path_factory.mktemp(architecture))

    return build


@pytest.fixture(scope="session")
def scorer_of(folder_of: Callable[[str], Path]) -> Callable[[str], Scorer]:
    """An open scorer for a random model, by architecture."""
    return cache(lambda architecture: open_scorer(str(folder_of(architecture))))


@pytest.fixture(scope="session")
def twin_of(folder_of: Callable[[str], Path]) -> Callable[[str], Twin]:
    """The slow twin of a random model, by architecture, with the start symbol that lmscore must choose for it."""
    return cache(lambda architecture: Twin(folder_of(architecture), models.START_IDS[architecture]))


def _covered_by_others(architecture: str) -> Any:
    """Qwen2 goes a way of its own nowhere: the wide Llama has biases, too; and Phi-3 in long texts alone, which have
    a test of their own. The fast tests do without.
    """
    return pytest.param(architecture, marks=pytest.mark.slow) if architecture in ("qwen2", "phi3") else architecture


@pytest.fixture(params=[*map(_covered_by_others, sorted(models.ARCHITECTURES))])
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture in turn."""
    return str(request.param)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder_of: Callable[[str], Path]) -> Cli:
    """Runs lmscore inside this process, with the random Llama."""
    return Cli(monkeypatch, capsys, folder_of("llama"))
