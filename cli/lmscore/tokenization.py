"""Text to tokens: ids, the bytes each holds, where a text begins after its context.

Knows the tokenizer and nothing of the network behind it. Offsets are byte offsets throughout.
"""

import bisect
import logging
import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, islice
from typing import Any, overload

from .errors import LmscoreError, RecordError, one_line
from .formats import SURROGATE
from .records import Reading, Text
from .spelling import check_unicode, placed
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
        self, cut: "_Cut", data: bytes, begin: int, vocabulary: Vocabulary, end_symbol: Piece | None = None
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


class _Uncut(Exception):
    """A string holds what no token stands for, say, and none stands for what is unknown."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A string in tokens: their ids, and the bytes from and to which each goes."""

    ids: "array[int]"
    starts: "array[int]"
    ends: "array[int]"

    def __getitem__(self, part: slice) -> "_Cut":
        return _Cut(self.ids[part], self.starts[part], self.ends[part])

    def replace_end(self, at: int, other: "_Cut", first: int, shift: int) -> None:
        """Put another's tokens from `first` on in the place of those from `at` on; its bytes begin `shift` later."""
        for own, its, by in (
            (self.ids, other.ids, 0),
            (self.starts, other.starts, shift),
            (self.ends, other.ends, shift),
        ):
            del own[at:]
            own.extend(value + by for value in its[first:])


@dataclass(frozen=True, slots=True)
class _Stem:
    """What is known of a context before it is known what follows.

    Attributes:
        ids: its first tokens, taken to be the same whatever follows if the seam comes out again.
        end: its last characters, which are cut along with each text: what follows may change their tokens.
        seam_start: the place of the seam among the end's tokens.
        seam: the last of `ids`, as they stand in the end.
    """

    ids: Sequence[int] = ()
    end: str = ""
    seam_start: int = 0
    seam: _Cut = _Cut(array("q"), array("q"), array("q"))

    @property
    def seam_end(self) -> int:
        return self.seam_start + len(self.seam.ids)

    def agrees(self, cut: _Cut) -> bool:
        """Whether the seam came out again where the end was cut along with a text."""
        return cut[self.seam_start : self.seam_end] == self.seam


class Tokenizer:
    """A fast tokenizer (the ``tokenizers`` library's), read byte for byte."""

    def __init__(self, backend: Any, bos: int | None, eos: int | None) -> None:
        backend.no_truncation()  # a tokenizer.json may ask for either: one loses text, the other invents some
        backend.no_padding()
        if getattr(backend.model, "dropout", None):  # for training: each time other tokens
            backend.model.dropout = None
        self._backend = backend
        self.vocabulary = Vocabulary(backend, bos, eos)

    def tokenize(self, text: Text, reading: Reading) -> Tokenized:
        """Cut a text, after its context, into tokens.

        Joined, context and text are tokenized together as a model would meet them; a token that
        holds any byte of the text belongs to the text, even if it holds bytes of the context too.

        Raises:
            LmscoreError: the text has no tokens, is not valid Unicode, or has no end symbol to score.
        """
        ((_, tokenized),) = self.tokenize_all([text], reading, 1, 1)
        return tokenized

    def tokenize_all(
        self, texts: Iterable[Text], reading: Reading, size: int, most: int
    ) -> Iterator[tuple[Text, Tokenized]]:
        """Cut a stream of texts as `tokenize` does, several at a time, on several cores.

        A context that stands before some texts in a row is cut once. What is wrong with a text is raised when it is its
        turn.

        Args:
            size: how many characters to read ahead at first.
            most: how many at most.
        """
        before: str | None = None
        stems: dict[str | None, _Stem] = {}
        for bunch in _bunches(texts, size, most):
            contexts = [text.context for text in bunch]
            again = [context for context, last in zip(contexts, [before, *contexts], strict=False) if context == last]
            stems = {context: stem for context, stem in stems.items() if context == before}
            worth = contexts if reading.boundary == "separate" else again
            stems |= self._stems([context for context in worth if context not in stems], reading)
            pairs = [(text, stems.get(text.context) or _Stem(end=text.context or "")) for text in bunch]
            cuts = self._cuts((stem.end + text.text for text, stem in pairs), reading)
            for text, stem in pairs:
                check_unicode(text.context or "", f"the context of {text.origin}")
                check_unicode(text.text, text.origin)
                try:
                    if reading.boundary == "separate" and text.context and text.context not in stems:
                        self._cut(text.context, reading.parse_special)  # which fails again
                    tokenized = self._joined(text, stem, next(cuts), reading)
                except _Uncut as err:
                    raise RecordError(f"{text.origin}: its tokenizer cannot cut it into tokens ({err})") from err
                self._warn_of_symbols(text, tokenized, text.context == before, reading)
                before = text.context
                yield text, tokenized

    def _joined(self, text: Text, stem: _Stem, cut: _Cut, reading: Reading) -> Tokenized:
        """What is known of a context, and the tokens of its end and of a text."""
        if not stem.agrees(cut):
            stem = _Stem(end=text.context or "")
            (cut,) = self._cuts([stem.end + text.text], reading)
        end, body = stem.end.encode(), text.text.encode()
        # A token of no bytes (the space that some put before a text, or behind a symbol) belongs to what follows it.
        text_start = min(bisect.bisect(cut.ends, len(end)), bisect.bisect_left(cut.starts, len(end)))
        end_symbol = self._end_symbol(len(body)) if reading.eos else None
        pieces = Pieces(cut[text_start:], end + body, len(end), self.vocabulary, end_symbol)
        if not pieces:
            hint = "the tokenizer makes no tokens of it" if body else "it is empty, so there is nothing to score"
            raise RecordError(f"{text.origin}: {hint}; leave it out, or add --eos to score its end symbol")
        return Tokenized((*stem.ids, *cut.ids[stem.seam_end : text_start]), pieces)

    def _stems(self, contexts: Sequence[str | None], reading: Reading) -> dict[str | None, _Stem]:
        """What is known of those contexts that are worth to be cut by themselves."""
        apart = reading.boundary == "separate"
        valid = [context for context in dict.fromkeys(contexts) if context and not SURROGATE.search(context)]
        worth = [context for context in valid if apart or len(context) > SHORT_CONTEXT]
        wholes = self._wholes(worth, reading)
        if apart:
            return {context: _Stem(tuple(whole.ids)) for context, whole in wholes.items()}
        ends = {context: _end(context, whole) for context, whole in wholes.items()}
        end_cuts = self._wholes(list(ends.values()), reading)
        return {
            context: self._stem(context, wholes[context], end, end_cuts[end])
            for context, end in ends.items()
            if end in end_cuts
        }

    def _wholes(self, strings: Sequence[str], reading: Reading) -> dict[str, _Cut]:
        """Strings in tokens, but for those that cannot be cut; what follows such a context is refused in its turn."""
        wholes = dict[str, _Cut]()
        try:
            wholes.update(zip(strings, self._cuts(strings, reading), strict=True))
        except _Uncut:
            for string in strings:
                with suppress(_Uncut):
                    wholes[string] = self._cut(string, reading.parse_special)
        return wholes

    def _stem(self, context: str, whole: _Cut, end: str, end_cut: _Cut) -> _Stem:
        """What is known of a context, from where it and its end, cut by itself, go through the same tokens."""
        shift = len(context.encode()) - len(end.encode())
        exact = self._is_exact(whole) and self._is_exact(end_cut)  # else, where a token stands may be a guess
        meeting = _meeting(whole, end_cut, shift) if exact else None
        if meeting is None:
            return _Stem(end=context)
        first, last = meeting[1] - AGREEING, meeting[1] + AGREEING
        return _Stem(tuple(whole.ids[: meeting[0] + AGREEING]), end, first, end_cut[first:last])

    def _cuts(self, strings: Iterable[str], reading: Reading) -> Iterator[_Cut]:
        """Strings in tokens: short ones several at a time, on several cores; each long one when it is its turn.

        Raises:
            _Uncut: one of them cannot be cut, and it is its turn.
        """
        for portion in _portions(strings):
            short = [text for text in dict.fromkeys(portion) if len(text) <= STRETCH and not SURROGATE.search(text)]
            cuts = dict[str, _Cut]()
            with suppress(_Uncut):
                cuts = dict(zip(short, self._encoded(short, reading.parse_special), strict=True))
            for string in portion:
                yield cuts.get(string) or self._cut(string, reading.parse_special)

    def _cut(self, text: str, parse_special: bool) -> _Cut:
        """The tokens of a long string, stretch by stretch, lest the tokenizer needs a gigabyte for it.

        A stretch begins before the last one's end. Where both have the same tokens for a while, far from either's end,
        they are put together; where they nowhere do, it begins earlier, and at last at the beginning.
        """
        (cut,) = self._encoded([text[:STRETCH]], parse_special)
        exact, passed = self._is_exact(cut), 0
        for end in range(STRETCH, len(text), STRETCH):
            passed += len(text[end - STRETCH : end].encode())
            overlap = OVERLAP
            while True:
                first = end - overlap
                if first <= 0 or not exact:  # where a token stands may be a guess
                    return self._encoded([text], parse_special)[0]
                shift = passed - len(text[first:end].encode())
                (following,) = self._encoded([text[first : end + STRETCH]], parse_special)
                exact = self._is_exact(following)
                if exact and (place := _meeting(cut, following, shift)) is not None:
                    cut.replace_end(place[0], following, place[1], shift)
                    break
                overlap *= 8
        return cut

    def _is_exact(self, cut: _Cut) -> bool:
        """Whether tokens stand one behind the other, each (but for a first one's space) as long as what it spells."""
        lengths = map(len, self.vocabulary.spelled(cut.ids[1:]))
        return cut.starts[1:] == cut.ends[:-1] and [*map(operator.sub, cut.ends[1:], cut.starts[1:])] == [*lengths]

    def _encoded(self, texts: Sequence[str], parse_special: bool) -> list[_Cut]:
        self._backend.encode_special_tokens = not parse_special
        # Offsets take as long again, and say nothing new where the tokens spell what they are cut from.
        encode = self._backend.encode_batch_fast if self._is_literal else self._backend.encode_batch
        try:
            encodings = encode(texts, add_special_tokens=False)
        except Exception as err:  # the library raises no other kind
            raise _Uncut(one_line(err)) from err
        return [self._placed(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]

    @cached_property
    def _is_literal(self) -> bool:
        """Whether tokens spell what they are cut from, as a rule."""
        probe = "A few words, none rare."
        ids = self.vocabulary.ids_of(probe)
        return ids is not None and b"".join(self.vocabulary.spelled(ids)) == probe.encode()

    def _placed(self, text: str, encoding: Any) -> _Cut:
        """The tokens of a string, and where they stand in it."""
        ids = array("q", encoding.ids)
        spelled = self.vocabulary.spelled(ids)
        if b"".join(spelled) == text.encode():
            ends = array("q", accumulate(map(len, spelled)))
            return _Cut(ids, (array("q", [0]) + ends)[:-1], ends)
        if self._is_literal:  # but this time
            encoding = self._backend.encode(text, add_special_tokens=False)
        spans = array("q", chain.from_iterable(placed(text, spelled, encoding.offsets)))
        return _Cut(ids, spans[::2], spans[1::2])

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


STRETCH = 1 << 16
"""Characters of a long text, or of several short ones, that are tokenized together."""

OVERLAP = 1 << 10
"""Characters that two stretches share at first."""

AGREEING = 16
"""Tokens on which two stretches must agree on either side of the place where they are put together."""

STEM_END = 4 * AGREEING
"""Tokens at the end of a context that are cut again with each text that follows."""

SHORT_CONTEXT = 8 * STEM_END
"""Characters of a context that is cut whole with each text."""

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


def _portions(strings: Iterable[str]) -> Iterator[list[str]]:
    """Strings in runs of STRETCH characters, or some more."""
    portion, held = list[str](), 0
    for string in strings:
        portion.append(string)
        held += len(string)
        if held >= STRETCH:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


def _end(context: str, cut: _Cut) -> str:
    """A context's last tokens, as text; what is left of a character that begins before them is none of it."""
    start = next(iter(cut.starts[-STEM_END:]), 0)
    return context.encode()[start:].decode(errors="ignore")


def _meeting(before: _Cut, after: _Cut, shift: int) -> tuple[int, int] | None:
    """Where the end of one stretch and the beginning of the next go through the same tokens: a place in each.

    Args:
        shift: how many bytes later the next one begins.
    """
    first = bisect.bisect_left(before.starts, shift)
    own = list(zip(before.ids[first:], before.starts[first:], before.ends[first:], strict=True))
    place = {token: at for at, token in enumerate(own)}
    run, last = 0, -1
    for j, (id, start, end) in enumerate(islice(zip(after.ids, after.starts, after.ends, strict=True), len(own))):
        at = place.get((id, start + shift, end + shift), -1)
        run = 0 if at < 0 else run + 1 if at == last + 1 else 1
        last = at
        if run == 2 * AGREEING and len(own) - last > AGREEING:
            return first + last + 1 - AGREEING, j + 1 - AGREEING
    return None
