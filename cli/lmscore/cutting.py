"""Strings to tokens: several at once, long ones stretch by stretch, and of a context only the end with each text.

Whatever way a string takes here, its tokens are those that the tokenizer makes of it in one piece. Offsets are byte
offsets.
"""

import bisect
import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, islice
from typing import Any

from .errors import one_line
from .formats import SURROGATE
from .records import Reading
from .spelling import placed
from .vocabulary import Vocabulary

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


class Uncut(Exception):
    """The tokenizer refused a string: it holds what no token stands for, say, and none stands for what is unknown."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A string in tokens: their ids, and the bytes from and to which each goes."""

    ids: "array[int]"
    starts: "array[int]"
    ends: "array[int]"

    def __getitem__(self, part: slice) -> "Cut":
        return Cut(self.ids[part], self.starts[part], self.ends[part])

    def replace_end(self, at: int, other: "Cut", first: int, shift: int) -> None:
        """Put another's tokens from `first` on in the place of those from `at` on; its bytes begin `shift` later."""
        for own, its, by in (
            (self.ids, other.ids, 0),
            (self.starts, other.starts, shift),
            (self.ends, other.ends, shift),
        ):
            del own[at:]
            own.extend(value + by for value in its[first:])


@dataclass(frozen=True, slots=True)
class Stem:
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
    seam: Cut = Cut(array("q"), array("q"), array("q"))

    @property
    def seam_end(self) -> int:
        return self.seam_start + len(self.seam.ids)

    def agrees(self, cut: Cut) -> bool:
        """Whether the seam came out again where the end was cut along with a text."""
        return cut[self.seam_start : self.seam_end] == self.seam


class Cutter:
    """Cuts strings with a fast tokenizer (the ``tokenizers`` library's), and says which bytes each token holds."""

    def __init__(self, backend: Any, vocabulary: Vocabulary) -> None:
        self._backend, self._vocabulary = backend, vocabulary

    def cuts(self, strings: Iterable[str], parse_special: bool) -> Iterator[Cut]:
        """Strings in tokens: short ones several at a time, on several cores; each long one when it is its turn.

        Raises:
            Uncut: one of them cannot be cut, and it is its turn.
        """
        for portion in _portions(strings):
            short = [text for text in dict.fromkeys(portion) if len(text) <= STRETCH and not SURROGATE.search(text)]
            cuts = dict[str, Cut]()
            with suppress(Uncut):
                cuts = dict(zip(short, self._encoded(short, parse_special), strict=True))
            for string in portion:
                yield cuts.get(string) or self.cut(string, parse_special)

    def cut(self, text: str, parse_special: bool) -> Cut:
        """A string in tokens; a long one stretch by stretch, lest the tokenizer needs a gigabyte for it.

        A stretch begins before the last one's end. Where both have the same tokens for a while, far from either's end,
        they are put together; where they nowhere do, it begins earlier, and at last at the beginning.

        Raises:
            Uncut: it cannot be cut.
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

    def stems(self, contexts: Sequence[str | None], reading: Reading) -> dict[str | None, Stem]:
        """What is known of those contexts that are worth to be cut by themselves."""
        apart = reading.boundary == "separate"
        valid = [context for context in dict.fromkeys(contexts) if context and not SURROGATE.search(context)]
        worth = [context for context in valid if apart or len(context) > SHORT_CONTEXT]
        wholes = self._wholes(worth, reading.parse_special)
        if apart:
            return {context: Stem(tuple(whole.ids)) for context, whole in wholes.items()}
        ends = {context: _end(context, whole) for context, whole in wholes.items()}
        end_cuts = self._wholes(list(ends.values()), reading.parse_special)
        return {
            context: self._stem(context, wholes[context], end, end_cuts[end])
            for context, end in ends.items()
            if end in end_cuts
        }

    def _wholes(self, strings: Sequence[str], parse_special: bool) -> dict[str, Cut]:
        """Strings in tokens, but for those that cannot be cut; what follows such a context is refused in its turn."""
        wholes = dict[str, Cut]()
        try:
            wholes.update(zip(strings, self.cuts(strings, parse_special), strict=True))
        except Uncut:
            for string in strings:
                with suppress(Uncut):
                    wholes[string] = self.cut(string, parse_special)
        return wholes

    def _stem(self, context: str, whole: Cut, end: str, end_cut: Cut) -> Stem:
        """What is known of a context, from where it and its end, cut by itself, go through the same tokens."""
        shift = len(context.encode()) - len(end.encode())
        exact = self._is_exact(whole) and self._is_exact(end_cut)  # else, where a token stands may be a guess
        meeting = _meeting(whole, end_cut, shift) if exact else None
        if meeting is None:
            return Stem(end=context)
        first, last = meeting[1] - AGREEING, meeting[1] + AGREEING
        return Stem(tuple(whole.ids[: meeting[0] + AGREEING]), end, first, end_cut[first:last])

    def _is_exact(self, cut: Cut) -> bool:
        """Whether tokens stand one behind the other, each (but for a first one's space) as long as what it spells."""
        lengths = map(len, self._vocabulary.spelled(cut.ids[1:]))
        return cut.starts[1:] == cut.ends[:-1] and [*map(operator.sub, cut.ends[1:], cut.starts[1:])] == [*lengths]

    def _encoded(self, texts: Sequence[str], parse_special: bool) -> list[Cut]:
        self._backend.encode_special_tokens = not parse_special
        # Offsets take as long again, and say nothing new where the tokens spell what they are cut from.
        encode = self._backend.encode_batch_fast if self._is_literal else self._backend.encode_batch
        try:
            encodings = encode(texts, add_special_tokens=False)
        except Exception as err:  # the library raises no other kind
            raise Uncut(one_line(err)) from err
        return [self._placed(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]

    @cached_property
    def _is_literal(self) -> bool:
        """Whether tokens spell what they are cut from, as a rule."""
        probe = "A few words, none rare."
        ids = self._vocabulary.ids_of(probe)
        return ids is not None and b"".join(self._vocabulary.spelled(ids)) == probe.encode()

    def _placed(self, text: str, encoding: Any) -> Cut:
        """The tokens of a string, and where they stand in it."""
        ids = array("q", encoding.ids)
        spelled = self._vocabulary.spelled(ids)
        if b"".join(spelled) == text.encode():
            ends = array("q", accumulate(map(len, spelled)))
            return Cut(ids, (array("q", [0]) + ends)[:-1], ends)
        if self._is_literal:  # but this time
            encoding = self._backend.encode(text, add_special_tokens=False)
        spans = array("q", chain.from_iterable(placed(text, spelled, encoding.offsets)))
        return Cut(ids, spans[::2], spans[1::2])


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


def _end(context: str, cut: Cut) -> str:
    """A context's last tokens, as text; what is left of a character that begins before them is none of it."""
    start = next(iter(cut.starts[-STEM_END:]), 0)
    return context.encode()[start:].decode(errors="ignore")


def _meeting(before: Cut, after: Cut, shift: int) -> tuple[int, int] | None:
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
