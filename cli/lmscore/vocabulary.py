"""A tokenizer's tokens: what each spells, which are symbols, where they begin a word; and the start symbol.

Knows nothing of how a text is cut into them, but for one that `--bos` names.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from tokenizers.models import Unigram

from . import words
from .errors import LmscoreError
from .records import Marks
from .spelling import check_unicode, speller

log = logging.getLogger(__name__)


class Vocabulary:
    """What a fast tokenizer (the ``tokenizers`` library's) can say, id by id."""

    def __init__(self, backend: Any, bos: int | None, eos: int | None) -> None:
        self._backend = backend
        self._bytes: dict[int, bytes] = {}
        self.bos = bos
        self.eos = eos

    def bytes_of(self, id: int) -> bytes:
        """The bytes that a token spells, whatever its neighbours."""
        known = self._bytes.get(id)
        if known is None:
            token = self._backend.id_to_token(id) or ""
            stands_for_text = id not in self._added or id == self._unknown
            known = self._bytes[id] = self._spell(token) if stands_for_text else token.encode()
        return known

    def spelled(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes that each of some tokens spells."""
        known = list(map(self._bytes.get, ids))
        return list(map(self.bytes_of, ids)) if None in known else cast(list[bytes], known)

    def spelling(self, id: int) -> str:
        """A token's text: what its bytes spell, bytes that are no whole character as ``\\xf0``."""
        return self.bytes_of(id).decode("utf-8", "backslashreplace")

    def named(self, wanted: str) -> tuple[int, str]:
        """The id and string of a token named by the user: an id, a vocabulary entry, or a text that is one token.

        Raises:
            LmscoreError: there is no such token.
        """
        check_unicode(wanted, "--bos")
        if wanted.isascii() and wanted.isdigit():
            if len(wanted) > 9 or self._backend.id_to_token(int(wanted)) is None:
                raise LmscoreError(f"start symbol {wanted:.12}: the vocabulary has no such id; choose another --bos")
            return int(wanted), self.spelling(int(wanted))
        id = self._backend.token_to_id(wanted)
        if id is None:
            ids = self.ids_of(wanted) or ()
            id = ids[0] if len(ids) == 1 else None
        if id is None:
            raise LmscoreError(
                f"start symbol {wanted!r} is not a token of this model; give --bos a token, an id or none"
            )
        return id, self.spelling(id)

    def ids_of(self, text: str) -> Sequence[int] | None:
        """A short text in tokens; None where it holds what no token stands for."""
        try:
            ids: Sequence[int] = self._backend.encode(text, add_special_tokens=False).ids
        except Exception:  # the library raises no other kind
            return None
        return ids

    @cached_property
    def symbols(self) -> frozenset[int]:
        """Tokens that stand for no text. (The one for what is unknown does, and may stand anywhere in a word.)"""
        symbols = {id for id, token in self._added.items() if token.special and id != self._unknown}
        return frozenset(symbols | {id for id in (self.bos, self.eos) if id is not None})

    @cached_property
    def symbol_names(self) -> re.Pattern[str] | None:
        """Matches the strings that would be special symbols, were a text not data."""
        names = sorted({token.content for token in self._added.values() if token.special}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names))) if names else None

    @cached_property
    def openers(self) -> frozenset[int]:
        """The tokens that begin a word: those that begin with a blank, and symbols, which end what stands before."""
        return frozenset(id for id in self._ids if words.opens(self.spelling(id), id in self.symbols))

    def closes(self, id: int) -> bool:
        """Whether no word goes on after a token."""
        return words.closes(self.spelling(id), id in self.symbols)

    @cached_property
    def marks(self) -> Marks:
        """What this vocabulary's tokens tell of words."""
        return words.marks(self.spelling(id) for id in self._ids if id not in self._added)

    @cached_property
    def _unknown(self) -> int | None:
        model = self._backend.model
        if isinstance(model, Unigram):  # which keeps it to itself
            unknown: int | None = json.loads(model.__getstate__())["unk_id"]
            return unknown
        name = getattr(model, "unk_token", None)
        return None if name is None else self._backend.token_to_id(name)

    @cached_property
    def _ids(self) -> list[int]:
        return list(self._backend.get_vocab(with_added_tokens=True).values())

    @cached_property
    def _added(self) -> dict[int, Any]:
        return dict(self._backend.get_added_tokens_decoder())

    @cached_property
    def _spell(self) -> Callable[[str], bytes]:
        return speller(self._backend.decoder)


@dataclass(frozen=True, slots=True)
class StartSymbol:
    """What stands before every text: an id and its string, or nothing, and who decided."""

    id: int | None
    token: str | None
    source: str


def decide_start(vocabulary: Vocabulary, wanted: str | None, catalogued: int | None) -> StartSymbol:
    """The start symbol, decided once: by the user, the catalogue, the tokenizer's BOS, its EOS, or none.

    Raises:
        LmscoreError: the user named a token that the model does not have.
    """
    if wanted is not None and wanted.lower() == "none":
        return StartSymbol(None, None, "--bos none")
    if wanted is not None:
        named, token = vocabulary.named(wanted)
        if named not in vocabulary.symbols:
            log.warning("--bos %s: the token %s is no special symbol of this model's", wanted, token)
        return StartSymbol(named, token, "--bos")
    choices = ((catalogued, "catalogue"), (vocabulary.bos, "tokenizer bos"), (vocabulary.eos, "tokenizer eos"))
    for id, source in choices:
        if id is not None:
            return StartSymbol(id, vocabulary.spelling(id), source)
    return StartSymbol(None, None, "none")
