"""The seam between commands and computing: text records in, scored records out, in order, as a stream.

Puts tokenization, planning and engine together. Knows no files, no options and no terminal. A scorer that is not local
would take the same records and give the same records.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch

from . import catalogue, engine, loading, planning, ranking, words
from .errors import LmscoreError, RecordError
from .found import Found, LazyTokens
from .locating import Choice, Located
from .records import Measure, Provenance, Ranking, Reading, Report, Score, Text, Tick, Token, Words, silent
from .tokenization import Tokenized, Tokenizer
from .vocabulary import StartSymbol, decide_start

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_LOOK_AHEAD = 512
LOOK_AHEAD = 16_384
LOOK_AHEAD_ON_CPU = 3072
"""How many tokens of the stream are read together: few at first, so that a first score comes soon, then four times as
many each time. More would take longer to show, and go no faster."""

MOST_HELD = 8 << 20
"""Ids that are held: of texts that wait to be read together, their contexts counted, and of windows that are. A bound
on memory, eight bytes each; twice that where RUNS_AHEAD counts."""

MOST_HELD_OF_ONE = 1 << 20
"""The same, of a long text's windows, which share nothing."""

BLOCKS_A_PORTION = 4
"""How often an accelerator is sent something before all of it is waited for, where a stream goes by portions."""

RUNS_AHEAD = 1
"""How often more is sent to a CUDA device before what was sent first is waited for."""

ASKED_BEHIND = 0
"""Any id will do behind a text, where only what the model expects there is asked for."""


def unheard(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A text, and the tokens it becomes."""

    text: Text
    tokenized: Tokenized


class Scorer:
    """Scores texts and ranks candidates with one model; `open_scorer` makes one."""

    def __init__(
        self, network: engine.Network, tokenizer: Tokenizer, start: StartSymbol, name: str, located: Located
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._located = located
        self.start = start
        self.provenance = Provenance(
            name=name,
            revision=located.revision,
            dtype=str(network.dtype).removeprefix("torch."),
            device=str(network.device),
            bos_id=start.id,
            bos_token=start.token,
            bos_source=start.source,
        )

    def score(self, text: str, context: str | None = None, reading: Reading = Reading()) -> Score:
        """Score one text.

        Args:
            text: scored byte for byte, after the start symbol.
            context: stands directly before the text (put the space between them into one of the two); it conditions
                the text and adds nothing to the total.
            reading: end symbol, ranks, alternatives and the like.

        Returns:
            The score; all log-probabilities in nats.

        Raises:
            LmscoreError: there is nothing to score, the text is no valid Unicode, the model gives a value that is not
                finite, or memory ran out.
        """
        return next(self.scores([Text(text, context)], reading))

    @property
    def look_ahead(self) -> int:
        """How many tokens of a stream are read together at most."""
        return LOOK_AHEAD_ON_CPU if self._network.device.type == "cpu" else LOOK_AHEAD

    @property
    def portion(self) -> int:
        """How many tokens to hand over at a time, where a stream goes by portions: an accelerator reads them in several
        goes, and is not waited for in between.
        """
        return self.look_ahead * (1 if self._network.device.type == "cpu" else BLOCKS_A_PORTION)

    @property
    def arithmetic(self) -> Mapping[str, Any]:
        """What decides the last digits of a sum, beside the texts that are read together."""
        return {"torch": str(torch.__version__), "--threads": torch.get_num_threads()}

    @property
    def files(self) -> Sequence[Path]:
        """The model's files, where no revision says which they are."""
        return self._located.files

    def settle(self) -> None:
        """Do now what is else done once it pays, so that what is scored first goes the same way as what comes later."""
        with torch.inference_mode(), engine.memory_errors():
            self._network.settle()

    def scores(
        self,
        texts: Iterable[str | Text],
        reading: Reading = Reading(),
        soon: bool = True,
        tick: Tick = unheard,
    ) -> Iterator[Score]:
        """Score a stream of texts; the scores come in the texts' order, and the stream is read a bounded way ahead.

        Args:
            soon: read little together at first, so that a first score comes soon; else all goes a little faster.
            tick: told again and again how many tokens are scored of those that are read together.

        Raises:
            LmscoreError: as `score`, naming the text; the scores before it have been given. Or of texts that are read
                together: memory ran out, or the model cannot read as many tokens.
        """
        if isinstance(texts, str):
            raise TypeError("texts are a stream of them; put an only one into a list, or give it to `score`")
        blocks = self._blocks(self._prepared(texts, reading, soon), soon)
        runs = (run for block in blocks for run in self._runs(block, reading, tick))
        for finish in _later(runs, RUNS_AHEAD if self._network.device.type == "cuda" else 0):
            yield from finish()

    def rank(
        self,
        candidates: Sequence[str | Text],
        context: str | None = None,
        by: Measure = "sum",
        reading: Reading = Reading(),
    ) -> Ranking:
        """Rank candidates by how probable they are after a context, which is read once for all of them.

        Args:
            candidates: what may follow; at least one. As strings they stand after `context`; as texts, after their own.
            context: stands directly before each of them.
            by: ``sum`` of log-probabilities; ``mean``, per token; ``byte``, per UTF-8 byte; ``pmi``, the sum less what
                the candidate gets with no context (which costs a second scoring).
            reading: as for `score`.

        Returns:
            The candidates in order of place.

        Raises:
            LmscoreError: as `score`; or a candidate has no token that can be scored; or ``pmi`` without a context or
                a start symbol.
        """
        if isinstance(candidates, str):
            raise TypeError("candidates are a sequence of texts; put an only one into a list")
        texts = [
            replace(candidate, index=index)
            if isinstance(candidate, Text)
            else Text(candidate, context, f"candidate {index + 1}", index)
            for index, candidate in enumerate(candidates)
        ]
        return next(self.rankings([texts], by, reading))

    def rankings(
        self,
        groups: Iterable[Sequence[Text]],
        by: Measure = "sum",
        reading: Reading = Reading(),
        soon: bool = True,
        tick: Tick = unheard,
    ) -> Iterator[Ranking]:
        """Rank each of a stream of groups, as `rank` does; small groups are read together.

        Args:
            groups: texts that each say by their `index` where in their group they stood.
            soon, tick: as for `scores`.

        Raises:
            LmscoreError: as `rank`; the rankings before it have been given.
            ValueError: there is no such measure, or two texts of a group stood in one place.
        """
        if by not in get_args(Measure):
            raise ValueError(f"by is one of {', '.join(get_args(Measure))}, not {by!r}")
        waiting = deque[Sequence[Text]]()
        scores = self.scores(self._candidates(groups, by, waiting), reading, soon, tick)
        while (first := next(scores, None)) is not None:
            group = waiting.popleft()
            of_group = [first, *islice(scores, len(group) - 1)]
            alone = list(islice(scores, len(group))) if by == "pmi" else None
            for text, score in zip(group, of_group, strict=True):
                if score.total_logprob is None:
                    raise RecordError(
                        f"{text.origin} has no scored token, since nothing stands before its only one; "
                        "give a context, or a start symbol with --bos"
                    )
            yield ranking.rank(of_group, [text.index for text in group], by, alone)

    def _candidates(
        self, groups: Iterable[Sequence[Text]], by: Measure, waiting: deque[Sequence[Text]]
    ) -> Iterator[Text]:
        """The texts to score for each group in turn; groups that were begun are kept in `waiting`."""
        for group in groups:
            if not group:
                raise LmscoreError("there are no candidates to rank; give at least one, one a line")
            if len({text.index for text in group}) < len(group):
                raise ValueError(f"{group[0].origin}: candidates of one group have indices of their own")
            if len({text.context for text in group}) > 1:
                raise LmscoreError(
                    f"{group[0].origin}: candidates of one group must follow one context; make two groups"
                )
            if by == "pmi" and not group[0].context:
                raise RecordError(
                    f"{group[0].origin}: pmi compares a context with a bare start symbol, and there is no context; "
                    "give one, or choose another --by"
                )
            if by == "pmi" and self.start.id is None:
                raise LmscoreError("pmi compares a context with a bare start symbol; choose one with --bos")
            waiting.append(group)
            yield from group
            if by == "pmi":
                yield from (Text(text.text, None, text.origin, text.index) for text in group)

    def _prepared(self, texts: Iterable[str | Text], reading: Reading, soon: bool) -> Iterator[_Prepared]:
        """Cut texts into tokens, several at a time: as many characters as tokens are read together."""
        first = FIRST_LOOK_AHEAD if soon else self.look_ahead
        stream = (Text(item) if isinstance(item, str) else item for item in texts)
        context: str | None = None
        for text, tokenized in self._tokenizer.tokenize(stream, reading, first, self.look_ahead):
            greatest = max(tokenized.ids)
            if greatest >= self._network.vocabulary:
                raise LmscoreError(
                    f"{text.origin}: the tokenizer gives id {greatest}, but the model knows "
                    f"{self._network.vocabulary}; they do not belong together"
                )
            if reading.parse_special and not (text.context and text.context == context):
                self._warn_of_two_starts(text)
            context = text.context
            yield _Prepared(text, tokenized)

    def _warn_of_two_starts(self, text: Text) -> None:
        if self.start.token and ((text.context or "") + text.text).startswith(self.start.token):
            log.warning(
                "%s begins with %s, and one is put before every text: there are two; leave it out, or give --bos none",
                f"the context of {text.origin}" if text.context else text.origin,
                self.start.token,
            )

    def _blocks(self, source: Iterator[_Prepared], soon: bool) -> Iterator[list[_Prepared]]:
        """As many texts as are read together: `look_ahead` tokens or some more; where a first score is wanted soon, few
        at first, and then four times as many each time.

        Tokens that a text begins with as the one before it does are read once, and not counted. What begins alike stays
        together for up to five times as many, and candidates until they have many times their context.
        """
        tokens, held, block = 0, 0, list[_Prepared]()
        ahead = FIRST_LOOK_AHEAD if soon else self.look_ahead
        try:
            for prepared, shared, in_group in _likened(source):
                if in_group:  # ranked when all of them are scored, so the first of them need not come soon
                    more = planning.WORTH_REREADING * in_group
                elif soon:
                    shared = more = 0
                else:
                    more = planning.more_together(shared, ahead)
                if tokens >= ahead + more or held > MOST_HELD:
                    yield block
                    ahead, soon = min(4 * ahead, self.look_ahead), False
                    tokens, held, block, shared = 0, 0, [], 0
                block.append(prepared)
                tokens += max(len(prepared.tokenized) - shared, 1)
                held += len(prepared.tokenized)
        except LmscoreError:
            if block:
                yield block  # first what came before it
            raise
        if block:
            yield block

    def _runs(
        self, block: Sequence[_Prepared], reading: Reading, tick: Tick
    ) -> Iterator[Callable[[], Iterator[Score]]]:
        """Begin to read a block's windows, as many together as may be held.

        Yields:
            What waits for them, and gives the scores of those texts that are read then.
        """
        corrects = self._corrects(reading)
        among = self._openers if corrects else frozenset()
        wanted = engine.Wanted(reading.rank, reading.entropy, reading.top, among)
        found = [Found() for _ in block]
        start = 0 if self.start.id is None else 1
        done, total = 0, sum(len(prepared.tokenized.pieces) + corrects for prepared in block)

        def more(tokens: int) -> None:
            nonlocal done
            done += tokens
            if done < total:
                tick(done, total)

        def finish(
            together: Sequence[tuple[int, planning.Window]], ended: range, wait: Callable[[], list[engine.Readout]]
        ) -> Iterator[Score]:
            for (at, window), readout in zip(together, wait(), strict=True):
                found[at].add(readout, window.first - start if window.cut else None)
            if ended.stop == len(block):  # once, here: equal windows are read once, so `done` may not get there
                tick(total, total)
            for at in ended:
                yield self._assemble(block[at], found[at], reading)

        tick(0, total)
        for together, ended in self._windows(block, reading):
            windows = [window for _, window in together]
            yield partial(finish, together, ended, engine.begin(self._network, windows, wanted, more))

    def _windows(
        self, block: Sequence[_Prepared], reading: Reading
    ) -> Iterator[tuple[list[tuple[int, planning.Window]], range]]:
        """The windows of all texts, as many together as may be held.

        Yields:
            Windows, each with its text's place in the block; and the places of the texts that end with them.
        """
        start = () if self.start.id is None else (self.start.id,)
        together: list[tuple[int, planning.Window]] = []
        first, held, most = 0, 0, MOST_HELD
        for at, prepared in enumerate(block):
            ids, limit = prepared.tokenized.ids, self._network.limit
            windows = planning.windows(start, ids, len(prepared.tokenized.context), limit, reading.stride)
            if self._corrects(reading):
                windows = planning.with_behind(
                    windows, start, ids, limit, reading.stride, self._network.steady, ASKED_BEHIND
                )
            for window in windows:
                if held > most:
                    yield together, range(first, at)
                    together, first, held = [], at, 0
                together.append((at, window))
                held, most = held + len(window.ids), MOST_HELD_OF_ONE if window.cut else MOST_HELD
        yield together, range(first, len(block))

    def _assemble(self, prepared: _Prepared, found: Found, reading: Reading) -> Score:
        text, pieces = prepared.text, prepared.tokenized.pieces
        ending, end_context = found.take_ending() if self._corrects(reading) else (None, None)
        tokens = LazyTokens(pieces, found, self._tokenizer.vocabulary)
        if not all(map(math.isfinite, found.logprobs)):
            wrong = next(token for token in tokens if token.logprob is not None and not math.isfinite(token.logprob))
            raise RecordError(
                f"{text.origin}: the model gives token {wrong.index} ({wrong.token!r}) a log-probability of "
                f"{wrong.logprob}; its weights are damaged, or {self.provenance.dtype} is too small for it"
            )
        return Score(
            text=text.text,
            context=text.context,
            tokens=tokens,
            windows=max(len(found.windows), 1),
            min_context=found.min_context,
            model=self.provenance,
            words=self._words(prepared, tokens, found, ending, end_context) if reading.words else None,
        )

    def _corrects(self, reading: Reading) -> bool:
        """Whether words are corrected, and so what is expected behind a text is asked for.

        Where tokens say that a word ends, nothing is left open; where none holds a blank, nothing tells.
        """
        return reading.words == "corrected" and self._tokenizer.vocabulary.marks in ("beginning", "blanks")

    def _words(
        self,
        prepared: _Prepared,
        tokens: Sequence[Token],
        found: Found,
        ending: float | None,
        end_context: int | None,
    ) -> Words:
        """The text's words; corrected if it is known how probable one begins behind the text, log P in nats."""
        openings = None
        if ending is not None:
            unscored = [None] * (len(tokens) - len(found.among))
            context = prepared.tokenized.context
            within = bool(context) and not self._tokenizer.vocabulary.closes(context[-1])
            masses = [*unscored, *found.among, ending]
            openings = words.Openings(masses, within)
        items = tuple(words.words(prepared.text.text, tokens, openings))
        is_open = openings is not None and not self._tokenizer.vocabulary.closes(tokens[-1].id)
        return Words(items, openings is not None, self._tokenizer.vocabulary.marks, end_context if is_open else None)

    @cached_property
    def _openers(self) -> frozenset[int]:
        """Those tokens that begin a word, of the ones that the model knows."""
        return frozenset(id for id in self._tokenizer.vocabulary.openers if id < self._network.vocabulary)


def _likened(source: Iterable[_Prepared]) -> Iterator[tuple[_Prepared, int, int]]:
    """Texts, each with how many tokens it begins with as the one before it, and how many of its group's context.

    As many texts without a context as a group has may be its candidates once more, for pmi: they begin with none of
    it, but stay in their group, and what follows is compared with the last of them that had it.
    """
    last: _Prepared | None = None
    last_ids, in_group, once_more = tuple[int, ...](), 0, 0
    for prepared in source:
        text, tokenized = prepared.text, prepared.tokenized
        if once_more and not text.context:
            once_more -= 1
            yield prepared, 0, in_group
            continue
        shared, in_group, ids = 0, 0, tokenized.ids
        goes_on = last is not None and bool(text.context) and text.context == last.text.context
        once_more = once_more + 1 if goes_on else int(bool(text.context))
        if last is not None:
            same = tokenized.context == last.tokenized.context
            shared = planning.num_shared(last_ids, ids, len(tokenized.context) if same else 0)
            if goes_on:
                shared = in_group = min(shared, len(tokenized.context))
            if same:  # keep those ids, and not their likes as well
                prepared = _Prepared(text, replace(tokenized, context=last.tokenized.context))
        last, last_ids = prepared, ids
        yield prepared, shared, in_group


def _later(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, each when `count` more have been asked for: what was begun with them goes on meanwhile."""
    waiting = deque[T]()
    try:
        for item in items:
            waiting.append(item)
            if len(waiting) > count:
                yield waiting.popleft()
    except LmscoreError:
        yield from waiting  # first what came before it
        raise
    yield from waiting


def open_scorer(
    model: str = catalogue.DEFAULT_MODEL,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    dtype: str = "auto",
    device: str = "auto",
    bos: str | None = None,
    threads: int | None = None,
    report: Report = silent,
) -> Scorer:
    """Open a causal language model for scoring.

    Args:
        model: a catalogue name (``smollm2``), a hub id, a folder with safetensors, or a ``.gguf`` file.
        revision: a hub model's branch, tag or commit.
        trust_remote_code: run Python code that the model brings.
        dtype: ``float32``, ``bfloat16``, ``float16``, ``float64``; ``auto`` is float32 on a CPU, else the checkpoint's.
        device: ``cpu``, ``cuda``, ``mps``; ``auto`` takes an accelerator where there is one.
        bos: the start symbol: a token, an id, or ``none``; None lets the catalogue, then the tokenizer decide.
        threads: CPU threads for this process; None leaves torch's choice.
        report: told of a first fetch and its progress.

    Returns:
        A scorer. Its numbers are nats, and say after which start symbol they hold.

    Raises:
        LmscoreError: the model cannot be found, read or run; the line says why and what to do.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    choice = Choice(model, revision, trust_remote_code, dtype, device)
    network, tokenizer, located = loading.load(choice, report)
    entry = catalogue.same_model(model)
    start = decide_start(tokenizer.vocabulary, bos, entry.bos_id if entry else None)
    if start.id is not None and start.id >= network.vocabulary:
        raise LmscoreError(
            f"start symbol {start.token} (id {start.id}) is beyond the {network.vocabulary} that the model knows; "
            "choose another with --bos"
        )
    return Scorer(network, tokenizer, start, model, located)
