"""One contestant scores one work, in a process of its own: `python -m tests.benchmarks.contestant JOB ANSWER`.

Each opens the model first, and is then timed from text to totals, by a tokenizer of its own.
Peers are imported late: they may not be there. Knows no other contestant.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """What to score, and with what.

    Attributes:
        model: as lmscore names it.
        folder: where its weights lie, in transformers' layout.
        warm: score two texts first, untimed.
        requests: each with its text, its context or None, and the ids of the text, which must be what is scored.
    """

    contestant: str
    model: str
    folder: str
    device: str
    dtype: str
    start: int
    batch_size: int
    ranked: bool
    warm: bool
    requests: list[dict[str, Any]]


Pair = tuple[list[int], list[int]]
"""A request in ids: what conditions (the start symbol first), and what is scored."""


@dataclass(frozen=True, slots=True)
class Found:
    """For each request, in order, a total and the ids that were scored.

    The ids may be made when they are looked at, once the time is taken.
    """

    totals: list[float]
    ids: Iterable[list[int]]


Run = Callable[[Job], Found]
"""Scores a job's requests with the model that is open."""


def main(asked: str, answered: str) -> None:
    job = Job(**json.loads(Path(asked).read_text(encoding="utf-8")))
    run = CONTESTANTS[job.contestant](job)
    if job.warm:
        run(replace(job, requests=job.requests[:2]))
    gc.freeze()  # else a collection of what the imports left falls into some contestant's time
    began = time.perf_counter()
    found = run(job)
    seconds = time.perf_counter() - began
    for ids, request in zip(found.ids, job.requests, strict=True):
        if ids != request["ids"]:
            raise SystemExit(f"{job.contestant} scored other ids than the rest: {request['text']!r}")
    answer = {"seconds": seconds, "totals": found.totals, "device_peak": _device_peak(job.device)}
    Path(answered).write_text(json.dumps(answer), encoding="utf-8")


def lmscore(job: Job) -> Run:
    from lmscore import Text, open_scorer

    scorer = open_scorer(job.model, device=job.device, dtype=job.dtype, bos=str(job.start))

    def run(job: Job) -> Found:
        texts = [Text(request["text"], request["context"]) for request in job.requests]
        scores: Iterable[Any] = scorer.scores(texts)
        if job.ranked:
            candidates = scorer.rank([text.text for text in texts], texts[0].context).candidates
            scores = (candidate.score for candidate in sorted(candidates, key=lambda candidate: candidate.index))
        scores = list(scores)
        totals = [score.total_logprob or 0.0 for score in scores]
        # One by one, so that no text keeps its tokens: they would count as memory that scoring takes.
        return Found(totals, ([score.tokens[at].id for at in range(len(score.tokens))] for score in scores))

    return run


def lm_eval(job: Job) -> Run:
    from lm_eval.models.huggingface import HFLM

    model = HFLM(
        pretrained=job.folder, device=job.device, dtype=job.dtype, batch_size=job.batch_size, add_bos_token=False
    )

    def cut(request: dict[str, Any]) -> Pair:
        if request["context"] is None:
            return [job.start], model.tok_encode(request["text"])
        before, ids = model._encode_pair(request["context"], request["text"])
        return [job.start, *before], ids

    def run(job: Job) -> Found:
        pairs = [cut(request) for request in job.requests]
        requests = [(("", str(at)), before, ids) for at, (before, ids) in enumerate(pairs)]
        totals = [total for total, _ in model._loglikelihood_tokens(requests, disable_tqdm=True)]
        return Found(totals, [ids for _, ids in pairs])

    return run


def minicons(job: Job) -> Run:
    from minicons.scorer import IncrementalLMScorer
    from transformers import BatchEncoding

    scorer = IncrementalLMScorer(job.folder, job.device, dtype=_torch_dtype(job))

    def run(job: Job) -> Found:
        totals: list[float] = []
        pairs = _cut(scorer.tokenizer, job)
        for batch in _batches(pairs, job.batch_size):
            width = max(len(before) + len(ids) for before, ids in batch)
            padding = [width - len(before) - len(ids) for before, ids in batch]
            rows = [[*before, *ids, *[0] * rest] for (before, ids), rest in zip(batch, padding, strict=True)]
            mask = [[1] * (width - rest) + [0] * rest for rest in padding]
            encoding = BatchEncoding({"input_ids": rows, "attention_mask": mask}, tensor_type="pt")
            offsets = [len(before) - 1 for before, _ in batch]
            scores = scorer.compute_stats((encoding, offsets), return_tensors=True)
            totals += [score.sum().item() for score in scores]
        return Found(totals, [ids for _, ids in pairs])

    return run


def plain(job: Job) -> Run:
    """The shortest loop over transformers: stands in where there is no peer."""
    import torch

    model, tokenizer = _opened(job)

    @torch.inference_mode()
    def run(job: Job) -> Found:
        totals: list[float] = []
        pairs = _cut(tokenizer, job)
        for before, ids in pairs:
            read = torch.tensor([[*before, *ids]], device=job.device)  # [1, T]
            logprobs = model(read[:, :-1]).logits[0, -len(ids) :].float().log_softmax(-1)  # [A, V]
            totals.append(logprobs.gather(1, read[0, -len(ids) :, None]).sum().item())
        return Found(totals, [ids for _, ids in pairs])

    return run


def cached(job: Job) -> Run:
    """What a careful person writes over transformers: a context is read once, and its cache copied for each batch."""
    import copy

    import torch

    model, tokenizer = _opened(job)

    @torch.inference_mode()
    def run(job: Job) -> Found:
        pairs = _cut(tokenizer, job)
        context = pairs[0][0]
        read = model(torch.tensor([context], device=job.device), logits_to_keep=1)
        after_context = read.logits[0].float().log_softmax(-1)  # [1, V]
        totals = [0.0] * len(pairs)
        by_length = sorted(range(len(pairs)), key=lambda at: len(pairs[at][1]))
        for batch in _batches(by_length, job.batch_size):
            candidates = [pairs[at][1] for at in batch]
            width = max(map(len, candidates))
            rows = torch.tensor([ids + [0] * (width - len(ids)) for ids in candidates], device=job.device)  # [B, T]
            cache = copy.deepcopy(read.past_key_values)
            cache.batch_repeat_interleave(len(batch))
            logprobs = model(rows, past_key_values=cache).logits.float().log_softmax(-1)  # [B, T, V]
            for at, ids, row, later in zip(batch, candidates, rows, logprobs, strict=True):
                predicted = torch.cat([after_context, later[: len(ids) - 1]])  # [A, V]
                totals[at] = predicted.gather(1, row[: len(ids), None]).sum().item()
        return Found(totals, [ids for _, ids in pairs])

    return run


CONTESTANTS: dict[str, Callable[[Job], Run]] = {
    "lmscore": lmscore,
    "lm-eval": lm_eval,
    "minicons": minicons,
    "transformers": plain,
    "transformers, cache": cached,
}


def _opened(job: Job) -> tuple[Any, Any]:
    """The model as transformers runs it, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(job.folder, dtype=_torch_dtype(job))
    return model.to(job.device).eval(), AutoTokenizer.from_pretrained(job.folder)


def _cut(tokenizer: Any, job: Job) -> list[Pair]:
    """Requests in ids, by a tokenizer of transformers."""
    pairs = [(request["context"] or "", request["text"]) for request in job.requests]
    contexts = list(dict.fromkeys(context for context, _ in pairs))
    before = dict(zip(contexts, tokenizer(contexts, add_special_tokens=False)["input_ids"], strict=True))
    wholes = tokenizer([context + text for context, text in pairs], add_special_tokens=False)["input_ids"]
    return [
        ([job.start, *before[context]], whole[len(before[context]) :])
        for (context, _), whole in zip(pairs, wholes, strict=True)
    ]


def _torch_dtype(job: Job) -> Any:
    import torch

    return getattr(torch, job.dtype)


def _device_peak(device: str) -> int | None:
    """Bytes that torch held at most on a card; None on the CPU, where the system counts the whole process."""
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def _batches(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


if __name__ == "__main__":
    main(*sys.argv[1:])
