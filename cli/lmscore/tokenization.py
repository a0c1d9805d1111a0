"""Text to tokens: ids, the bytes each holds, where a text begins after its context.

Knows the tokenizer and nothing of the network behind it. Offsets are byte offsets throughout.
"""

import bisect
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from .cutting import Cut, Cutter, Stem, Uncut
from .errors import LmscoreError, RecordError
from .records import Reading, Text
from .spelling import check_unicode
from .vocabulary import Vocabulary

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as it stands in context and text joined; ``start`` and ``end`` count bytes from the text's first."""

    id: int
    token: str
    bytes: bytes
    start: int
    end: int
    spelling: str
    special: bool

    @property
    def straddles(self) -> bool:
        return self.start < 0 < self.end


class Pieces(Sequence[Piece]):
    """A text's tokens. Each is made when it is looked at: a long text has millions."""

    def __init__(
        self, cut: Cut, data: bytes, begin: int, vocabulary: Vocabulary, end_symbol: Piece | None = None
    ) -> None:
        """Take the tokens that hold these spans of `data`, their offsets counted from `begin`."""
        self._vocabulary = vocabulary
        self._first = cut.starts[0] if cut.starts else 0
        self._starts, self._ends, self._data, self._begin = cut.starts, cut.ends, data[self._first :], begin
        self._end_symbol = end_symbol
        self._spelled: dict[bytes, tuple[str, bytes]] = {}  # each string once
        one: dict[int, int] = {}  # object for all equal ids: a long text has millions
        self.ids = (*map(one.setdefault, cut.ids, cut.ids), *([] if end_symbol is None else [end_symbol.id]))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, at: int) -> Piece: ...
    @overload
    def __getitem__(self, at: slice) -> list[Piece]: ...
    def __getitem__(self, at: int | slice) -> Piece | list[Piece]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        if self._end_symbol is not None and at == len(self) - 1:
            return self._end_symbol
        start, end = self._starts[at], self._ends[at]
        own = self._data[start - self._first : end - self._first]
        token, own = self._spelled.setdefault(own, (own.decode("utf-8", "backslashreplace"), own))
        id = self.ids[at]
        spelling, special = self._vocabulary.spelling(id), id in self._vocabulary.symbols
        return Piece(id, token or spelling, own, start - self._begin, end - self._begin, spelling, special)


@dataclass(frozen=True, slots=True)
class Tokenized:
    """A text as tokens: those of the context, which condition, and those of the text, which are scored."""

    context: tuple[int, ...]
    pieces: Pieces

    def __len__(self) -> int:
        return len(self.context) + len(self.pieces)

    @property
    def ids(self) -> tuple[int, ...]:
        return (*self.context, *self.pieces.ids)


class Tokenizer:
    """A fast tokenizer (the ``tokenizers`` library's), read byte for byte."""

    def __init__(self, backend: Any, bos: int | None, eos: int | None) -> None:
        backend.no_truncation()  # a tokenizer.json may ask for either: one loses text, the other invents some
        backend.no_padding()
        if getattr(backend.model, "dropout", None):  # for training: each time other tokens
            backend.model.dropout = None
        self.vocabulary = Vocabulary(backend, bos, eos)
        self._cutter = Cutter(backend, self.vocabulary)

    def tokenize(
        self, texts: Iterable[Text], reading: Reading, size: int, most: int
    ) -> Iterator[tuple[Text, Tokenized]]:
        """Cut a stream of texts, each after its context, into tokens: several at a time, on several cores.

        Joined, context and text are tokenized together as a model would meet them; a token that holds any byte of the
        text belongs to the text, even if it holds bytes of the context too. A context that stands before some texts in
        a row is cut once.

        Args:
            size: how many characters to read ahead at first.
            most: how many at most.

        Raises:
            LmscoreError: it is the turn of a text that has no tokens, is not valid Unicode, or has no end symbol to
                score.
        """
        before: str | None = None
        stems: dict[str | None, Stem] = {}
        for bunch in _bunches(texts, size, most):
            contexts = [text.context for text in bunch]
            again = [context for context, last in zip(contexts, [before, *contexts], strict=False) if context == last]
            stems = {context: stem for context, stem in stems.items() if context == before}
            worth = contexts if reading.boundary == "separate" else again
            stems |= self._cutter.stems([context for context in worth if context not in stems], reading)
            pairs = [(text, stems.get(text.context) or Stem(end=text.context or "")) for text in bunch]
            cuts = self._cutter.cuts((stem.end + text.text for text, stem in pairs), reading.parse_special)
            for text, stem in pairs:
                check_unicode(text.context or "", f"the context of {text.origin}")
                check_unicode(text.text, text.origin)
                try:
                    if reading.boundary == "separate" and text.context and text.context not in stems:
                        self._cutter.cut(text.context, reading.parse_special)  # which fails again
                    tokenized = self._joined(text, stem, next(cuts), reading)
                except Uncut as err:
                    raise RecordError(f"{text.origin}: its tokenizer cannot cut it into tokens ({err})") from err
                self._warn_of_symbols(text, tokenized, text.context == before, reading)
                before = text.context
                yield text, tokenized

    def _joined(self, text: Text, stem: Stem, cut: Cut, reading: Reading) -> Tokenized:
        """A context's known first tokens, and those of its end and of a text, which were cut together.

        Where the seam came out otherwise, all of it is cut anew.
        """
        if not stem.agrees(cut):
            stem = Stem(end=text.context or "")
            (cut,) = self._cutter.cuts([stem.end + text.text], reading.parse_special)
        end, body = stem.end.encode(), text.text.encode()
        # A token of no bytes (the space that some put before a text, or behind a symbol) belongs to what follows it.
        text_start = min(bisect.bisect(cut.ends, len(end)), bisect.bisect_left(cut.starts, len(end)))
        end_symbol = self._end_symbol(len(body)) if reading.eos else None
        pieces = Pieces(cut[text_start:], end + body, len(end), self.vocabulary, end_symbol)
        if not pieces:
            hint = "the tokenizer makes no tokens of it" if body else "it is empty, so there is nothing to score"
            raise RecordError(f"{text.origin}: {hint}; leave it out, or add --eos to score its end symbol")
        return Tokenized((*stem.ids, *cut.ids[stem.seam_end : text_start]), pieces)

    def _warn_of_symbols(self, text: Text, tokenized: Tokenized, again: bool, reading: Reading) -> None:
        """Say what a text looks like, and its context, unless that stood before the last text, too; and what it is."""
        if reading.parse_special or self.vocabulary.symbol_names is None:
            return
        passages = [(text.origin, text.text), (f"the context of {text.origin}", "" if again else text.context or "")]
        for origin, passage in passages:
            if found := self.vocabulary.symbol_names.search(passage):
                warning = "%s contains %s, which is read as ordinary text; --parse-special makes it the symbol"
                if not self.vocabulary.symbols.isdisjoint(tokenized.ids[: -1 if reading.eos else None]):
                    warning = "%s contains %s, which is read as the symbol: this tokenizer cannot tell them apart"
                log.warning(warning, origin, found.group())

    def _end_symbol(self, at: int) -> Piece:
        if (id := self.vocabulary.eos) is None:
            raise LmscoreError("this model's tokenizer has no end symbol to score; leave out --eos")
        spelling = self.vocabulary.spelling(id)
        return Piece(id, spelling, b"", at, at, spelling, special=True)


AGAIN = 64
"""A context that stood before the last text, too, counts for one in so many of its characters: few are cut again."""


def _bunches(texts: Iterable[Text], size: int, most: int) -> Iterator[list[Text]]:
    """Texts in runs of `size` characters, or some more; later of a quarter of all before, or `most`.

    So a text that is wanted hardly waits for others that are not wanted yet.
    """
    bunch, held, passed, before = list[Text](), 0, 0, None
    try:
        for text in texts:
            bunch.append(text)
            held += 1 + len(text.text) + len(text.context or "") // (AGAIN if text.context == before else 1)
            before = text.context
            if held >= min(max(size, passed // 4), most):
                yield bunch
                bunch, held, passed = [], 0, passed + held
    except LmscoreError:
        yield bunch  # first what came before it
        raise
    yield bunch
