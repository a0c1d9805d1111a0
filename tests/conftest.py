"""Models and scorers that tests share; each is built once a run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from lmscore import open_scorer
from lmscore.scorer import Scorer

from . import models


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


@pytest.fixture(params=sorted(models.ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    """Each architecture in turn."""
    return str(request.param)
