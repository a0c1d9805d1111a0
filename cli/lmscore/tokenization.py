"""Text to tokens: ids, the bytes each holds, where a text begins after its context, the start symbol.

Knows the tokenizer and nothing of the network behind it. Offsets are byte offsets throughout.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from typing import Any

from .errors import LmscoreError, RecordError
from .records import Reading, Text

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StartSymbol:
    """What stands before every text: an id and its string, or nothing, and who decided."""

    id: int | None
    token: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it stands in context and text joined; ``start`` and ``end`` count bytes from the text's first."""

    id: int
    token: str
    bytes: bytes
    start: int
    end: int

    @property
    def straddles(self) -> bool:
        return self.start < 0 < self.end


@dataclass(frozen=True, slots=True)
class Tokenized:
    """A text as tokens: those of the context, which condition, and those of the text, which are scored."""

    context: tuple[int, ...]
    pieces: tuple[Piece, ...]


class Tokenizer:
    """A fast tokenizer (the ``tokenizers`` library's), read byte for byte."""

    def __init__(self, backend: Any, bos: int | None, eos: int | None) -> None:
        backend.no_truncation()  # a tokenizer.json may ask for either: one loses text, the other invents some
        backend.no_padding()
        self._backend = backend
        self._spellings: dict[int, bytes] = {}
        self.bos = bos
        self.eos = eos

    def tokenize(self, text: Text, reading: Reading) -> Tokenized:
        """Cut a text, after its context, into tokens.

        Joined, context and text are tokenized together as a model would meet them; a token that
        holds any byte of the text belongs to the text, even if it holds bytes of the context too.

        Raises:
            LmscoreError: the text has no tokens, is not valid Unicode, or has no end symbol to score.
        """
        context, body = (_utf8(part or "", text.origin) for part in (text.context, text.text))
        self._warn_of_symbols(text, reading)
        if reading.boundary == "joint":
            ids, spans = self._cut((text.context or "") + text.text, reading.parse_special)
            # Where there is no context, a token of no bytes at all (a bare prefix space) is the text's as well.
            first = next((i for i, (_, end) in enumerate(spans) if end > len(context) or not context), len(ids))
            before, pieces = ids[:first], _pieces(ids[first:], spans[first:], context + body, len(context))
        else:
            before, _ = self._cut(text.context or "", reading.parse_special)
            pieces = _pieces(*self._cut(text.text, reading.parse_special), body, 0)
        if reading.eos:
            pieces.append(self._end_symbol(len(body)))
        if not pieces:
            hint = "the tokenizer makes no tokens of it" if body else "it is empty, so there is nothing to score"
            raise RecordError(f"{text.origin}: {hint}; leave it out, or add --eos to score its end symbol")
        return Tokenized(tuple(before), tuple(pieces))

    def string(self, id: int) -> str:
        """A token's text: what its bytes spell, bytes that are no whole character as ``\\xf0``."""
        return self.spelling(id).decode("utf-8", "backslashreplace")

    def symbol(self, wanted: str) -> tuple[int, str]:
        """The id and string of a token named by the user: an id, a vocabulary entry, or a text that is one token.

        Raises:
            LmscoreError: there is no such token.
        """
        _utf8(wanted, "--bos")
        size = self._backend.get_vocab_size(with_added_tokens=True)
        if wanted.isascii() and wanted.isdigit():
            if int(wanted) >= size:
                raise LmscoreError(f"start symbol {wanted}: the vocabulary ends at id {size - 1}; choose another --bos")
            return int(wanted), self.string(int(wanted))
        id = self._backend.token_to_id(wanted)
        if id is None:
            ids = self._backend.encode(wanted, add_special_tokens=False).ids
            id = ids[0] if len(ids) == 1 else None
        if id is None:
            raise LmscoreError(
                f"start symbol {wanted!r} is not a token of this model; give --bos a token, an id or none"
            )
        return id, self.string(id)

    def _cut(self, text: str, parse_special: bool) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens of a string, and the bytes from and to which each goes."""
        self._backend.encode_special_tokens = not parse_special
        encoding = self._backend.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids  # a new list each time it is asked for
        spelled = list(map(self.spelling, ids))
        if b"".join(spelled) == text.encode():
            ends = list(accumulate(map(len, spelled)))
            return ids, list(zip([0, *ends], ends, strict=False))
        return ids, list(_found(text, spelled, encoding.offsets))

    def spelling(self, id: int) -> bytes:
        """The bytes that a token spells, whatever its neighbours."""
        known = self._spellings.get(id)
        if known is None:
            token = self._backend.id_to_token(id) or ""
            known = self._spellings[id] = token.encode() if id in self._added else self._spell(token)
        return known

    @cached_property
    def _added(self) -> dict[int, Any]:
        return dict(self._backend.get_added_tokens_decoder())

    @cached_property
    def _spell(self) -> Callable[[str], bytes]:
        return _speller(self._backend.decoder)

    @cached_property
    def _symbols(self) -> re.Pattern[str] | None:
        """Matches the strings that would be special symbols, were a text not data."""
        names = sorted({token.content for token in self._added.values() if token.special}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, names))) if names else None

    def _warn_of_symbols(self, text: Text, reading: Reading) -> None:
        if reading.parse_special or self._symbols is None:
            return
        if found := self._symbols.search(text.text) or self._symbols.search(text.context or ""):
            log.warning(
                "%s contains %s, which is scored as ordinary text; --parse-special makes it the symbol",
                text.origin,
                found.group(),
            )

    def _end_symbol(self, at: int) -> Piece:
        if self.eos is None:
            raise LmscoreError("this model's tokenizer has no end symbol to score; leave out --eos")
        return Piece(self.eos, self.string(self.eos), b"", at, at)


def decide_start(tokenizer: Tokenizer, wanted: str | None, catalogued: int | None) -> StartSymbol:
    """The start symbol, decided once: by the user, the catalogue, the tokenizer's BOS, its EOS, or none.

    Raises:
        LmscoreError: the user named a token that the model does not have.
    """
    if wanted == "none":
        return StartSymbol(None, None, "--bos none")
    if wanted is not None:
        return StartSymbol(*tokenizer.symbol(wanted), "--bos")
    choices = ((catalogued, "catalogue"), (tokenizer.bos, "tokenizer bos"), (tokenizer.eos, "tokenizer eos"))
    for id, source in choices:
        if id is not None:
            return StartSymbol(id, tokenizer.string(id), source)
    return StartSymbol(None, None, "none")


def _pieces(ids: Sequence[int], spans: Sequence[tuple[int, int]], data: bytes, begin: int) -> list[Piece]:
    """The tokens that hold these spans of `data`, their offsets counted from `begin`."""
    spelled: dict[bytes, tuple[str, bytes]] = {}  # each once: in a long text that is most of the memory

    def spell(own: bytes) -> tuple[str, bytes]:
        return spelled.setdefault(own, (own.decode("utf-8", "backslashreplace"), own))

    return [
        Piece(id, *spell(data[start:end]), start - begin, end - begin)
        for id, (start, end) in zip(ids, spans, strict=True)
    ]


def _found(text: str, spelled: list[bytes], offsets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where each token stands: the bytes it spells where they come next in the text, else those of its characters.

    A tokenizer that normalizes spells other bytes than the text's. Its tokens get whole characters there, along with
    those before them that no token holds, and their exact bytes again from the next character on.

    Args:
        spelled: the bytes that each token spells.
        offsets: the characters that the tokenizer says each holds.
    """
    data = text.encode()
    plain = text.replace("▁", " ")  # which sentencepiece cannot tell apart
    if spelled and (not plain.startswith(" ") or b"".join(spelled) == b" " + plain.encode()):
        spelled[0] = spelled[0].removeprefix(b" ")  # the space that sentencepiece puts before every text
    before = list(accumulate((len(char.encode()) for char in text), initial=0))  # bytes before each character
    following = [*(first for first, _ in offsets[1:]), len(text)]
    at = 0
    for own, (first, last), after in zip(spelled, offsets, following, strict=False):
        start, end = at, at + len(own)
        if end > before[last] or not data.startswith(own, at):
            merged = sum(1 for _ in takewhile(unicodedata.combining, text[last:after]))  # marks it was composed with
            start, end = min(at, before[first]), max(at, before[last + merged])
        yield start, end
        at = end


def _utf8(text: str, origin: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as err:  # what the shell or a "\ud800" in JSON could not decode
        at = len(text[: err.start].encode("utf-8", "surrogatepass"))
        raise RecordError(
            f"{origin} is not valid UTF-8 at byte {at}; convert it first, with iconv for instance"
        ) from err


def _speller(decoder: Any) -> Callable[[str], bytes]:
    """How a vocabulary writes bytes, read off its decoder: byte-level, or sentencepiece with byte fallback.

    Only tried, never trusted: `_found` looks whether the bytes stand in the text.
    """
    steps = list(_steps(json.loads(decoder.__getstate__()))) if decoder is not None else []
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        return lambda token: bytes(_BYTE_OF[c] for c in token) if _BYTE_OF.keys() >= set(token) else token.encode()
    replaced = [(step["replacement"], " ") for step in steps if step["type"] == "Metaspace"]
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            replaced.append((step["pattern"]["String"], step["content"]))

    def spell(token: str) -> bytes:
        if "ByteFallback" in kinds and (byte := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)):
            return bytes.fromhex(byte[1])
        for old, new in replaced:
            token = token.replace(old, new)
        return token.encode()

    return spell


def _steps(decoder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    else:
        yield decoder


def _byte_level_alphabet() -> dict[str, int]:
    """The characters in which GPT-2's vocabulary writes bytes: printable ones as themselves, others from U+0100 on.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and the code released with it.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTE_OF = _byte_level_alphabet()
