"""From what a user names to where it lies on this disk: a catalogue name, a hub id, a folder, a GGUF file.

What is not there yet is fetched first. Knows which files make a model, and not what is in them.
"""

import contextlib
import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import catalogue, download
from .errors import LmscoreError, first_line
from .records import Report, silent

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MADE_OF = ("*.safetensors", "*.json", "*.model", "vocab.txt", "merges.txt", "*.jinja", "*.py")
"""What tells of a model in its folder: weights, their description, the tokenizer, code; a log is none of it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model a user asked for, and how to run it."""

    name: str = catalogue.DEFAULT_MODEL
    revision: str | None = None
    trust_remote_code: bool = False
    dtype: str = "auto"
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a model lies on this disk, and which revision it is."""

    path: Path
    revision: str | None

    @property
    def files(self) -> list[Path]:
        """What is read of it, where no revision says which that is."""
        if self.revision is not None:
            return []
        if self.path.is_file():
            return [self.path]
        return sorted(path for kind in MADE_OF for path in self.path.glob(kind) if path.is_file())


def find(choice: Choice, report: Report = silent) -> Located:
    """The folder or GGUF file a model's name stands for, fetched first if need be.

    Raises:
        LmscoreError: there is no such model, or it cannot be had.
    """
    if not choice.name:
        raise LmscoreError("there is no model with an empty name; leave out --model for the default one")
    entry, path = catalogue.CATALOGUE.get(choice.name), Path(os.path.expanduser(choice.name))
    if choice.revision and (entry or _is_there(path)):
        raise LmscoreError(f"{choice.name} is no hub id, so it has no revision to choose; leave out --revision")
    if entry:
        return Located(download.fetch(entry, report), entry.requirement)
    if _is_there(path):
        if path.suffix in PICKLES and path.is_file():
            raise only_pickle(choice.name, path.name)
        if path.is_dir() or path.suffix == ".gguf":
            return Located(path, None)
        raise LmscoreError(f"{path} is a file; --model takes a folder with safetensors, a .gguf file or a hub id")
    if choice.name.startswith((".", "~")) or path.is_absolute() or path.suffix == ".gguf" or choice.name.count("/") > 1:
        raise LmscoreError(
            f"there is no model at {choice.name}; give a folder, a .gguf file, a hub id or a catalogue name"
        )
    return _from_hub(choice, report)


def _is_there(path: Path) -> bool:
    """Whether a file or a folder stands there.

    Raises:
        LmscoreError: it may not be looked at.
    """
    try:
        path.stat()
        if path.is_dir():
            next(path.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as err:  # links in a circle, a name too long, somebody else's
        raise LmscoreError(f"cannot read {path}: {err.strerror or err}; check its name and its permissions") from err
    return True


def _from_hub(choice: Choice, report: Report) -> Located:
    import huggingface_hub as hub
    from huggingface_hub import errors

    what = f"{choice.name}@{choice.revision}" if choice.revision else choice.name
    known = ", ".join(catalogue.CATALOGUE)
    meant = "".join(
        f"; did you mean {name}?" for name in difflib.get_close_matches(choice.name, catalogue.CATALOGUE, 1)
    )
    wanted = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"] + ["*.py"] * choice.trust_remote_code
    try:
        # The hub's own bars alone know how far it is.
        with _quiet_hub() if report is silent else contextlib.nullcontext():
            folder = hub.snapshot_download(
                choice.name, revision=choice.revision, allow_patterns=wanted, ignore_patterns=["*/*", "consolidated*"]
            )
    except errors.GatedRepoError as err:
        raise LmscoreError(
            f"{what} is gated: accept its terms on its hub page, then run `hf auth login` or set HF_TOKEN"
        ) from err
    except errors.RevisionNotFoundError as err:
        raise LmscoreError(f"{choice.name} has no revision {choice.revision}; see its history on the hub") from err
    except errors.RepositoryNotFoundError as err:
        raise LmscoreError(
            f"no model {what}: it is in neither the catalogue ({known}) nor this folder, and the hub knows none of "
            f"that name (a private one needs HF_TOKEN){meant}"
        ) from err
    except errors.HFValidationError as err:
        raise LmscoreError(f"no model {what!r}: not in the catalogue ({known}), not a folder, not a hub id") from err
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as err:
        raise LmscoreError(
            f"{what} is not on this disk and the hub cannot be reached (offline?); the catalogue ({known}), a local "
            f"folder or a .gguf file need no hub{meant}"
        ) from err
    except Exception as err:  # its answers, the connection's failures, the disk's: of many kinds
        raise LmscoreError(f"cannot fetch {what} from the hub: {first_line(err)}") from err
    return Located(Path(folder), Path(folder).name)


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Not a word from the hub's library, and no bars."""
    from huggingface_hub import utils

    talk: Any = utils
    bars, verbosity = not talk.are_progress_bars_disabled(), talk.logging.get_verbosity()
    talk.disable_progress_bars()
    talk.logging.set_verbosity_error()
    try:
        yield
    finally:
        talk.logging.set_verbosity(verbosity)
        if bars:
            talk.enable_progress_bars()


def only_pickle(name: str, file: str) -> LmscoreError:
    """What is said of a model that has no weights but pickled ones."""
    return LmscoreError(
        f"{name} has only pickle weights ({file}), which can run code when opened; convert them where you trust them: "
        "AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) writes safetensors"
    )
