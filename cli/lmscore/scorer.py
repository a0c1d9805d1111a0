"""The seam between commands and computing: text records in, scored records out, in order, as a stream.

Puts tokenization, planning and engine together. Knows no files, no options and no terminal. A scorer that is not local
would take the same records and give the same records.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch

from . import catalogue, engine, loading, planning, ranking
from .download import Report, silent
from .errors import LmscoreError
from .records import Alternative, Measure, Provenance, Ranking, Reading, Score, Text, Token
from .tokenization import StartSymbol, Tokenized, Tokenizer, decide_start

LOOK_AHEAD_TEXTS = 512
LOOK_AHEAD_TOKENS = 32_768
"""How far the stream is read ahead, to sort what is read together by length."""


class Scorer:
    """Scores texts and ranks candidates with one model; `open_scorer` makes one."""

    def __init__(
        self, network: engine.Network, tokenizer: Tokenizer, start: StartSymbol, name: str, revision: str | None
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self.start = start
        self.provenance = Provenance(
            name=name,
            revision=revision,
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

    def scores(self, texts: Iterable[Text], reading: Reading = Reading()) -> Iterator[Score]:
        """Score a stream of texts; the scores come in the texts' order, and the stream is read a bounded way ahead.

        Raises:
            LmscoreError: as `score`, naming the text; the scores before it have been given.
        """
        block: list[tuple[Text, Tokenized]] = []
        tokens = 0
        source = iter(texts)
        while True:
            failure: LmscoreError | None = None
            try:
                text = next(source, None)
                if text is not None:
                    block.append((text, self._tokenize(text, reading)))
                    tokens += len(block[-1][1].context) + len(block[-1][1].pieces)
            except LmscoreError as err:
                text, failure = None, err  # first give what came before it
            if text is None or len(block) >= LOOK_AHEAD_TEXTS or tokens >= LOOK_AHEAD_TOKENS:
                yield from self._score_block(block, reading)
                block, tokens = [], 0
            if failure is not None:
                raise failure
            if text is None:
                return

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
        texts = [
            candidate if isinstance(candidate, Text) else Text(candidate, context, f"candidate {index + 1}", index)
            for index, candidate in enumerate(candidates)
        ]
        scores = list(self.scores(texts, reading))
        alone: list[Score] | None = None
        if by == "pmi":
            if self.start.id is None or not all(text.context for text in texts):
                raise LmscoreError(
                    "pmi compares a context with a bare start symbol: it needs both; give --context, --bos"
                )
            alone = list(self.scores([Text(text.text, None, text.origin) for text in texts], reading))
        return ranking.rank(scores, [text.index for text in texts], by, alone)

    def _tokenize(self, text: Text, reading: Reading) -> Tokenized:
        tokenized = self._tokenizer.tokenize(text, reading)
        for id in (*tokenized.context, *(piece.id for piece in tokenized.pieces)):
            if id >= self._network.vocabulary:
                raise LmscoreError(
                    f"{text.origin}: the tokenizer gives id {id}, but the model knows {self._network.vocabulary}; "
                    "they do not belong together"
                )
        return tokenized

    def _score_block(self, block: Sequence[tuple[Text, Tokenized]], reading: Reading) -> Iterator[Score]:
        planned: list[planning.Window] = []
        spans: list[slice] = []
        for _, tokenized in block:
            begin = len(planned)
            planned.extend(self._windows(tokenized, reading))
            spans.append(slice(begin, len(planned)))
        wanted = engine.Wanted(reading.rank, reading.entropy, reading.top)
        readouts = engine.run(self._network, planned, wanted)
        for (text, tokenized), span in zip(block, spans, strict=True):
            own = [readout for window in readouts[span] for readout in window]
            yield self._assemble(text, tokenized, planned[span], own)

    def _windows(self, tokenized: Tokenized, reading: Reading) -> Iterator[planning.Window]:
        ids = (*tokenized.context, *(piece.id for piece in tokenized.pieces))
        start = () if self.start.id is None else (self.start.id,)
        return planning.windows(start, ids, len(tokenized.context), self._network.limit, reading.stride)

    def _assemble(
        self, text: Text, tokenized: Tokenized, windows: Sequence[planning.Window], readouts: Sequence[engine.Readout]
    ) -> Score:
        unscored = len(tokenized.pieces) - len(readouts)
        tokens = []
        for index, piece in enumerate(tokenized.pieces):
            readout = readouts[index - unscored] if index >= unscored else engine.Readout(None)
            if readout.logprob is not None and not math.isfinite(readout.logprob):
                raise LmscoreError(
                    f"{text.origin}: the model gives token {index} ({piece.token!r}) a log-probability of "
                    f"{readout.logprob}; its weights are damaged, or {self.provenance.dtype} is too small for it"
                )
            tokens.append(
                Token(
                    index=index,
                    id=piece.id,
                    token=piece.token,
                    bytes=piece.bytes,
                    start=piece.start,
                    end=piece.end,
                    logprob=readout.logprob,
                    rank=readout.rank,
                    entropy=readout.entropy,
                    straddles=piece.straddles,
                    top=None if readout.top is None else tuple(map(self._alternative, readout.top)),
                )
            )
        behind = 0 if self.start.id is None else 1
        cut = [window.first - behind for window in windows if window.cut]
        return Score(
            text=text.text,
            context=text.context,
            tokens=tuple(tokens),
            windows=max(len(windows), 1),
            min_context=min(cut, default=None),
            model=self.provenance,
        )

    def _alternative(self, likely: tuple[int, float]) -> Alternative:
        id, logprob = likely
        return Alternative(id, self._tokenizer.string(id), self._tokenizer.spelling(id), logprob)


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
    choice = loading.Choice(model, revision, trust_remote_code, dtype, device)
    network, tokenizer, found_revision = loading.load(choice, report)
    entry = catalogue.same_model(model)
    start = decide_start(tokenizer, bos, entry.bos_id if entry else None)
    return Scorer(network, tokenizer, start, model, found_revision)
