"""What options ask for together: words, roles of columns, shards, jobs; and that they do not contradict each other.

Knows what commands may be asked, and does none of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import options as opt
from .errors import WrongUsage
from .formats import SURROGATE
from .records import Measure, OnError

if TYPE_CHECKING:
    from .job import Job
    from .roles import Roles
    from .show import Style


def wording(words: bool, correction: opt.Correction) -> Literal["corrected", "plain"] | None:
    """How words are to be read.

    Raises:
        WrongUsage: they are not, but a correction was named.
    """
    if not words and correction == "off":
        raise WrongUsage("--word-correction is about words; give --words too")
    return None if not words else "corrected" if correction == "on" else "plain"


def check(style: "Style", words: bool = False, html: str | None = None, **asked: Any) -> None:
    """See that what is asked for can be shown.

    Args:
        words: whether words are asked for.
        html: where a page goes, if one is asked for: it tells of each token, whatever the style.
        asked: options about tables, as they are called.

    Raises:
        WrongUsage: it contradicts something else that is asked.
    """
    style.format.allow(**asked)
    if style.view != "table" and not style.tokens:
        raise WrongUsage(f"--view {style.view} shows every token; leave out --no-tokens")
    if html is not None or not (extras := style.extras.names):
        return
    if style.view == "heat":
        raise WrongUsage(f"--{extras[0]} tells of each token in a table; choose --view both")
    if words and style.format.is_rows:
        raise WrongUsage(f"--words makes a row a word, and --{extras[0]} tells of tokens; give one of them")
    if not style.tokens:
        raise WrongUsage(f"--{extras[0]} tells of each token; leave out --no-tokens")


def check_pmi(by: Measure, bos: str | None) -> None:
    """See that pmi has what it compares with.

    Raises:
        WrongUsage: there is to be no start symbol.
    """
    if by == "pmi" and bos == "none":
        raise WrongUsage("--by pmi compares a context with a bare start symbol; choose one with --bos")


def roles(columns: opt.Columns) -> "Roles":
    """Which columns mean what.

    Raises:
        WrongUsage: they contradict each other.
    """
    from .roles import Roles

    text, candidates, gold = columns.text_column, columns.candidates_column, columns.gold_column
    pair = (columns.good_column, columns.bad_column)
    if sum((text is not None, candidates is not None, pair != (None, None))) > 1:
        raise WrongUsage("--text-column, --candidates-column and --good-column exclude each other; give one")
    if (pair[0] is None) != (pair[1] is None):
        raise WrongUsage("--good-column and --bad-column belong together; give both")
    if gold is not None and candidates is None:
        raise WrongUsage("--gold-column says which of --candidates-column is right; give that too")
    if columns.group_column is not None and gold is None and pair[0] is None:
        raise WrongUsage("--group-column groups accuracy; give --gold-column or --good-column too")
    names = pair if candidates is None else candidates.split(",")
    chosen = tuple(name for name in names if name is not None)
    if len(set(chosen)) < len(chosen):
        raise WrongUsage(f"the candidates' columns are {', '.join(chosen)}: the same one twice is a tie")
    return Roles(
        text=text,
        candidates=chosen,
        context=columns.context_column,
        id=columns.id_column,
        gold=gold,
        first_is_gold=pair[0] is not None,
        group=columns.group_column,
        join=columns.join,
    )


def shard(shard: str | None) -> tuple[int, int] | None:
    if shard is None:
        return None
    part, _, parts = shard.partition("/")
    written = all(number.isdecimal() and len(number) < 10 for number in (part, parts))
    if not (written and 1 <= int(part) <= int(parts)):
        raise WrongUsage(f"--shard {shard}: give it as I/N, with I from 1 to N: --shard 1/8")
    return int(part), int(parts)


def job(
    columns: opt.Columns,
    added: opt.Added,
    cutting: opt.Cutting,
    correction: opt.Correction,
    by: Measure,
    bos: str | None,
    on_error: OnError,
) -> "Job":
    """What to do with each record.

    Raises:
        WrongUsage: it contradicts itself, would do nothing, or names a column that there is not.
    """
    from .job import RANK_COLUMNS, SCORE_COLUMNS, TOKENS, WORDS, Job

    for option, given in (("--prefix", added.prefix), ("--join", columns.join)):
        if SURROGATE.search(given):  # what the shell could not decode
            raise WrongUsage(f"{option} is not valid UTF-8; convert it first, with iconv for instance")
    meant = roles(columns)
    words = wording(added.words or added.rows == "word", correction)
    reading = cutting.reading(rank=added.rank, entropy=added.entropy, top=added.top, words=words)
    _check_added(added, reading.extras.names, bool(meant.candidates))
    if by != "sum" and not meant.candidates:
        raise WrongUsage("--by chooses among candidates; give --candidates-column or --good-column too")
    check_pmi(by, bos)
    if (by == "pmi" or meant.join) and meant.context is None:
        raise WrongUsage(f"{'--by pmi' if by == 'pmi' else '--join'} needs a context; give --context-column too")
    chosen = None if added.columns is None else [name.strip() for name in added.columns.split(",")]
    answered = meant.gold is not None or meant.first_is_gold
    weigh_pmi = by == "pmi" or (meant.context is not None and (answered or "pmi_logprobs" in (chosen or ())))
    known = dict(RANK_COLUMNS if meant.candidates else SCORE_COLUMNS)
    pairs = dict.fromkeys(("good_total_logprob", "bad_total_logprob"), meant.first_is_gold)
    for name, there in {"pmi_logprobs": weigh_pmi, "correct": answered, **pairs}.items():
        if not there:
            known.pop(name, None)
    usual = list(known) if added.rows == "record" else []
    names = usual if chosen is None else chosen
    for name in names:
        if name not in known:
            own = "" if added.rows == "record" else f"; those of a {added.rows} are there anyway"
            raise WrongUsage(f"--columns: there is no {name!r} here; there are {', '.join(known)}{own}")
    lists = [*[TOKENS] * added.tokens, *[WORDS] * added.words]
    told = (*(known[name] for name in dict.fromkeys(names)), *lists)
    return Job(meant, reading, by if meant.candidates else None, weigh_pmi, on_error, told, added.prefix, added.rows)


def _check_added(added: opt.Added, extras: Sequence[str], ranked: bool) -> None:
    """See that what is asked of each record goes together.

    Raises:
        WrongUsage: it contradicts itself, or would do nothing.
    """
    rows = added.rows
    if extras and not (added.tokens or (rows == "token" and "top" not in extras)):
        if rows != "record" and "top" in extras:
            raise WrongUsage("--top lists tokens, and a row holds no list; give --tokens instead of --rows")
        instead = "give --tokens too" if rows == "record" else "choose --rows token"
        raise WrongUsage(f"--{extras[-1]} tells of each token; {instead}")
    if added.tokens and ranked:
        raise WrongUsage("--tokens lists a text's tokens; lmscore rank --json lists those of candidates")
    if (added.words or rows != "record") and ranked:
        raise WrongUsage(f"{'--words' if added.words else '--rows'} is for texts; candidates have totals alone")
    if (added.tokens or added.words) and rows != "record":
        raise WrongUsage(f"--rows {rows} has a row for each; leave out {'--tokens' if added.tokens else '--words'}")
