"""Every option of the command line, once for each meaning: type, names, help; and which of them go together."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Optional

import typer

from .catalogue import DEFAULT_MODEL as DEFAULT_MODEL
from .errors import WrongUsage
from .formats import Format as FileFormat
from .formats import compression
from .records import Boundary, Measure, OnError, Reading, Rows
from .views.units import Unit as Unit

PAGES = frozenset({".html", ".htm"})
PICTURES = frozenset({".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".pdf"})
OFFICE = frozenset({".xlsx", ".xls", ".docx"})


def _check_ending(path: str, suffix: str) -> None:
    """Refuse an ending that no table has: an office program's, or one that looks misspelt.

    Raises:
        WrongUsage: it is such a one.
    """
    from difflib import get_close_matches  # late: hardly anybody comes here

    if suffix in OFFICE:
        raise WrongUsage(f"-o {path}: this writes text; end it in .json, .jsonl, .csv, .tsv or .txt")
    if meant := get_close_matches(suffix, (".json", ".jsonl", ".csv", ".tsv"), 1, 0.7):
        raise WrongUsage(f"-o {path}: that would be a table, by its name; end it in {meant[0]}, or in .txt")


class Format(str, Enum):
    table = "table"
    json = "json"
    csv = "csv"
    tsv = "tsv"

    @property
    def is_rows(self) -> bool:
        return self in (Format.csv, Format.tsv)

    @property
    def separator(self) -> str:
        """What stands between the fields of a row."""
        return FileFormat(self.value).separator

    @classmethod
    def of(cls, chosen: Optional["Format"], json: bool, output: str | None) -> "Format":
        """The format asked for, else the one the output's name asks for, else a table: decided here alone.

        Raises:
            WrongUsage: two formats are asked for, or the name is one of a file that only `batch` writes.
        """
        if chosen is not None and json and chosen is not cls.json:
            raise WrongUsage(f"--json and --format {chosen.value} contradict each other")
        path = output or ""
        named, packed = FileFormat.of(path), compression(path)
        if named is FileFormat.parquet or packed:
            kind = "compressed files" if packed else "Parquet, which lmscore batch does"
            raise WrongUsage(f"-o {output}: this does not write {kind}; end it in .jsonl, .csv or .tsv")
        if chosen is not None or json:
            return chosen or cls.json
        suffix = PurePath(path).suffix.lower()
        if suffix in PAGES | PICTURES:
            raise WrongUsage(f"-o {output}: this writes no pages and pictures; --html and --svg do, beside it")
        if suffix == ".json":
            return cls.json
        if named is None and suffix:
            _check_ending(path, suffix)
        by_name = {FileFormat.jsonl: cls.json, FileFormat.csv: cls.csv, FileFormat.tsv: cls.tsv}
        return cls.table if named is None else by_name.get(named, cls.table)

    def allow(self, **asked: object) -> None:
        """Refuse what is for tables alone, where this is no table.

        Raises:
            WrongUsage: one of these options was given, and tables are not written.
        """
        for name, value in asked.items():
            if value and self is not Format.table:
                raise WrongUsage(f"--{name} is for tables, and this would write {self.value}; leave one out")


class Color(str, Enum):
    auto = "auto"
    always = "always"
    never = "never"

    @property
    def wanted(self) -> bool | None:
        """Whether colour is wanted whatever the stream is; None follows the terminal and ``NO_COLOR``."""
        return None if self is Color.auto else self is Color.always


Correction = Literal["on", "off"]
DType = Literal["auto", "float32", "bfloat16", "float16", "float64"]
Device = Literal["auto", "cpu", "cuda", "mps"]
InputFormat = Literal["lines", "jsonl"]
View = Literal["table", "heat", "both"]


def _startable(threads: int | None) -> int | None:
    """Refuse so many threads that no system starts them."""
    if threads is not None and not 1 <= threads <= 1024:
        raise typer.BadParameter("it is from 1 to 1024")
    return threads


# The sections of the help. What an option may be is named in its help: the column beside its name is narrow.
_MODEL: dict[str, Any] = {"rich_help_panel": "Model"}
_TEXT: dict[str, Any] = {"rich_help_panel": "How the text is read"}
_OUT: dict[str, Any] = {"rich_help_panel": "Output"}
_TALK: dict[str, Any] = {"rich_help_panel": "Talk on stderr"}
_FLAG: dict[str, Any] = {"metavar": ""}  # takes no value, so none is named

TextsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        help="Texts to score, behind -- if one begins with a dash; - is stdin, one text a line.",
        show_default=False,
    ),
]
CandidatesArg = Annotated[
    str, typer.Argument(metavar="FILE", help="One candidate a line, or groups in .jsonl; - is stdin.")
]
NameArg = Annotated[str, typer.Argument(metavar="NAME", help="A name that `lmscore models` lists.")]
FilesOpt = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", metavar="FILE", help="Score each line of this file; may be given again."),
]
WholeOpt = Annotated[
    bool, typer.Option("--whole", help="Take a file or stdin as one text, line ends included.", **_FLAG)
]
InputFormatOpt = Annotated[
    InputFormat | None,
    typer.Option("--input-format", metavar="KIND", help="lines or jsonl; by FILE's name if not given."),
]
ContextOpt = Annotated[
    str | None,
    typer.Option("--context", "-c", metavar="TEXT", help="What stands directly before: given, not scored."),
]
JoinOpt = Annotated[
    str,
    typer.Option(
        "--join",
        metavar="TEXT",
        help="What to put between a context and what follows: a space, say.",
        show_default=False,
    ),
]

ComparedArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT", help="Two texts, or one and --model twice; - is stdin as one text.", show_default=False
    ),
]

InputsArg = Annotated[
    list[str],
    typer.Argument(metavar="IN", help="Files of records: .txt .jsonl .csv .tsv .parquet, also .gz .zst; - is stdin."),
]
RecordsOutOpt = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help=".jsonl, .csv, .tsv or .parquet: its name decides.")
]
RecordsFormatOpt = Annotated[
    FileFormat | None,
    typer.Option("--input-format", metavar="KIND", help="txt, jsonl, csv, tsv, parquet; by IN's name if not given."),
]
LimitOpt = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N records; of a shard, its first N.")
]
ShardOpt = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts of the records, counted from 1.")
]
RestartOpt = Annotated[bool, typer.Option("--restart", help="Begin again, whatever an earlier run has left.", **_FLAG)]
OnErrorOpt = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        metavar="WHAT",
        help="A bad record: stop; skip it into OUT.errors.jsonl; or keep it, with null for scores.",
    ),
]

_COLUMNS: dict[str, Any] = {"rich_help_panel": "Columns"}
_COLUMN: dict[str, Any] = {"metavar": "NAME", **_COLUMNS}
TextColumnOpt = Annotated[
    str | None, typer.Option("--text-column", help="What to score: text, or the only string, if not given.", **_COLUMN)
]
ContextColumnOpt = Annotated[
    str | None, typer.Option("--context-column", help="What stands directly before.", **_COLUMN)
]
IdColumnOpt = Annotated[
    str | None, typer.Option("--id-column", help="What to call a record in the summary.", **_COLUMN)
]
CandidatesColumnOpt = Annotated[
    str | None,
    typer.Option(
        "--candidates-column", help="Rank each record's candidates: a list, or several columns, a,b,c.", **_COLUMN
    ),
]
GoldColumnOpt = Annotated[
    str | None,
    typer.Option("--gold-column", help="The right candidate, by index from 0 or by text: accuracy.", **_COLUMN),
]
GoodColumnOpt = Annotated[
    str | None, typer.Option("--good-column", help="Of a minimal pair, the text that should win.", **_COLUMN)
]
BadColumnOpt = Annotated[str | None, typer.Option("--bad-column", help="The one that should lose.", **_COLUMN)]
GroupColumnOpt = Annotated[
    str | None, typer.Option("--group-column", help="Accuracy for each of its values too.", **_COLUMN)
]
ColumnsOpt = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B,…", help="Which scores to add.", **_COLUMNS),
]
PrefixOpt = Annotated[
    str,
    typer.Option(
        "--prefix",
        metavar="TEXT",
        help="Stands before the names of added columns.",
        show_default=False,
        **_COLUMNS,
    ),
]
RankColumnOpt = Annotated[
    bool, typer.Option("--rank", help="With --tokens or --rows token: each token's rank.", **_COLUMNS, **_FLAG)
]
EntropyColumnOpt = Annotated[
    bool,
    typer.Option("--entropy", help="With --tokens or --rows token: how open each place was.", **_COLUMNS, **_FLAG),
]
TopColumnOpt = Annotated[
    int,
    typer.Option(
        "--top",
        metavar="K",
        min=0,
        help="With --tokens: the K likeliest tokens at each place.",
        show_default=False,
        **_COLUMNS,
    ),
]
TokensOpt = Annotated[
    bool,
    typer.Option("--tokens", help="Add each text's tokens, as a list (not in CSV).", **_COLUMNS, **_FLAG),
]
SummaryOpt = Annotated[str | None, typer.Option("--summary", metavar="FILE", help="Write the summary as JSON too.")]

ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        envvar="LMSCORE_MODEL",
        help="A name from `lmscore models`, a hub id, a folder with safetensors, or a .gguf file.",
        **_MODEL,
    ),
]
ModelsOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help=f"As for `lmscore score`; twice, to compare two. If not given: LMSCORE_MODEL, else {DEFAULT_MODEL}.",
        show_default=False,
        **_MODEL,
    ),
]
RevisionOpt = Annotated[
    str | None, typer.Option("--revision", metavar="REV", help="A hub model's branch, tag or commit.", **_MODEL)
]
TrustOpt = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that the model brings.", **_MODEL, **_FLAG)
]
DTypeOpt = Annotated[
    DType,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        help="float32, bfloat16, float16, float64; auto: float32 on a CPU, else the model's own.",
        **_MODEL,
    ),
]
DeviceOpt = Annotated[
    Device,
    typer.Option(
        "--device", metavar="DEVICE", help="cpu, cuda, mps; auto: an accelerator where there is one.", **_MODEL
    ),
]
ThreadsOpt = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", callback=_startable, help="CPU threads to use.", show_default=False, **_MODEL
    ),
]

BosOpt = Annotated[
    str | None, typer.Option("--bos", metavar="TOKEN", help="Start symbol: a token, an id, or none.", **_TEXT)
]
EosOpt = Annotated[bool, typer.Option("--eos", help="Score the end symbol as a last token.", **_TEXT, **_FLAG)]
ParseSpecialOpt = Annotated[
    bool,
    typer.Option("--parse-special", help="Let <|…|> in a text be the symbol it names.", **_TEXT, **_FLAG),
]
BoundaryOpt = Annotated[
    Boundary,
    typer.Option(
        "--boundary",
        metavar="HOW",
        help="joint: context and text as one string, which tokens may span; separate: cut between.",
        **_TEXT,
    ),
]
StrideOpt = Annotated[
    int | None,
    typer.Option(
        "--stride",
        metavar="N",
        min=1,
        help="A long text's window moves on N tokens; half a window if not given.",
        **_TEXT,
    ),
]

ByOpt = Annotated[
    Measure,
    typer.Option(
        "--by", metavar="MEASURE", help="sum; mean, per token; byte, per byte; pmi, sum less that with no context."
    ),
]
TopTokensOpt = Annotated[
    int,
    typer.Option(
        "--top", metavar="K", min=0, help="Also show the K likeliest tokens at each place.", show_default=False
    ),
]
TopPlacesOpt = Annotated[
    int | None, typer.Option("--top", metavar="N", min=1, help="Show only the first N places of each group.")
]
RankOpt = Annotated[bool, typer.Option("--rank", help="Each token's rank in JSON and CSV too.", **_OUT, **_FLAG)]
EntropyOpt = Annotated[
    bool, typer.Option("--entropy", help="How open the model was at each place (entropy).", **_OUT, **_FLAG)
]
WordsOpt = Annotated[
    bool, typer.Option("--words", help="Words as well as tokens; in CSV instead of them.", **_OUT, **_FLAG)
]
NestedWordsOpt = Annotated[
    bool, typer.Option("--words", help="Add each text's words, as a list (not in CSV).", **_COLUMNS, **_FLAG)
]
WordCorrectionOpt = Annotated[
    Correction,
    typer.Option(
        "--word-correction",
        metavar="on|off",
        help="on: a word's probability includes that it ends there, as the next token shows.",
        **_TEXT,
    ),
]
RowsOpt = Annotated[
    Rows,
    typer.Option(
        "--rows",
        metavar="WHAT",
        help="What a row is: record; or, for R and pandas, word or token, with its record's columns.",
        **_COLUMNS,
    ),
]
JsonOpt = Annotated[bool, typer.Option("--json", help="The same as --format json.", **_OUT, **_FLAG)]
FormatOpt = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="table, json (one object a line), csv, tsv; by the name of -o if not given, else table.",
        **_OUT,
    ),
]
ViewOpt = Annotated[
    View | None,
    typer.Option(
        "--view", metavar="VIEW", help="table; heat, the text coloured by surprisal; both. Table if not given.", **_OUT
    ),
]
ExplainOpt = Annotated[
    int,
    typer.Option(
        "--explain",
        metavar="N",
        min=0,
        help="Explain the N weakest tokens: what was expected instead, and how surely.",
        show_default=False,
        **_OUT,
    ),
]


def _written_as(*endings: str) -> Callable[[str | None], str | None]:
    """Sees that a file's name does not say that it is a picture or a page of another kind."""
    others = (PAGES | PICTURES).difference(endings)

    def check(path: str | None) -> str | None:
        if PurePath(path or "").suffix.lower() in others:
            raise WrongUsage(f"{path}: what is written there is {endings[0][1:].upper()}; end its name in {endings[0]}")
        return path

    return check


SvgOpt = Annotated[
    str | None,
    typer.Option(
        "--svg", metavar="FILE", callback=_written_as(".svg"), help="Save what is shown as a picture too.", **_OUT
    ),
]
HtmlOpt = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar="FILE",
        callback=_written_as(".html", ".htm"),
        help="Write a page to hand on too: one file, to look at in a browser.",
        **_OUT,
    ),
]
SummaryHtmlOpt = Annotated[
    str | None,
    typer.Option(
        "--html",
        metavar="FILE",
        callback=_written_as(".html", ".htm"),
        help="Write the summary as a page to hand on too.",
    ),
]
NoTokensOpt = Annotated[bool, typer.Option("--no-tokens", help="Only the totals, no token lists.", **_OUT, **_FLAG)]
UnitOpt = Annotated[
    Unit,
    typer.Option("--unit", metavar="UNIT", help="nats, bits, log10: for tables; JSON and CSV are nats.", **_OUT),
]
ComparedViewOpt = Annotated[
    View | None,
    typer.Option(
        "--view",
        metavar="VIEW",
        help="table; heat, the second text coloured by the difference; both. table if not given.",
        **_OUT,
    ),
]
OutOpt = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write here instead of stdout: a whole file, or none.", **_OUT),
]
ColorOpt = Annotated[
    Color,
    typer.Option("--color", metavar="WHEN", help="always, never; auto follows the terminal and NO_COLOR.", **_OUT),
]
QuietOpt = Annotated[
    bool, typer.Option("--quiet", "-q", help="No notices, no progress; errors stay.", **_TALK, **_FLAG)
]
VerboseOpt = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say load time, tokens a second and device.", **_TALK, **_FLAG),
]
ModelsJsonOpt = Annotated[bool, typer.Option("--json", help="One object a line.", **_FLAG)]
VersionOpt = Annotated[
    bool, typer.Option("--version", help="Show the versions of lmscore, torch and transformers.", **_FLAG)
]


# What several commands take together, or one takes for one purpose: see `gathering`.


@dataclass(frozen=True)
class Opening:
    """How to open a model, whichever it is."""

    revision: RevisionOpt = None
    trust_remote_code: TrustOpt = False
    dtype: DTypeOpt = "auto"
    device: DeviceOpt = "auto"
    threads: ThreadsOpt = None
    bos: BosOpt = None


@dataclass(frozen=True)
class Cutting:
    """How a text is cut into tokens and windows."""

    eos: EosOpt = False
    parse_special: ParseSpecialOpt = False
    boundary: BoundaryOpt = "joint"
    stride: StrideOpt = None

    def reading(self, **read_out: Any) -> Reading:
        """This, and what is read out of each token."""
        return Reading(self.eos, self.parse_special, self.boundary, self.stride, **read_out)


@dataclass(frozen=True)
class Showing:
    """How results are shown, and where."""

    json: JsonOpt = False
    format: FormatOpt = None
    output: OutOpt = None
    svg: SvgOpt = None
    html: HtmlOpt = None
    color: ColorOpt = Color.auto
    unit: UnitOpt = Unit.nats

    @property
    def form(self) -> Format:
        """The format that is asked for.

        Raises:
            WrongUsage: as `Format.of`, or for a unit as `Format.allow`.
        """
        form = Format.of(self.format, self.json, self.output)
        form.allow(unit=self.html is None and self.unit is not Unit.nats)
        return form


@dataclass(frozen=True)
class Talk:
    """What is said on stderr."""

    quiet: QuietOpt = False
    verbose: VerboseOpt = False


@dataclass(frozen=True)
class Columns:
    """What the columns of a dataset mean."""

    text_column: TextColumnOpt = None
    context_column: ContextColumnOpt = None
    id_column: IdColumnOpt = None
    candidates_column: CandidatesColumnOpt = None
    gold_column: GoldColumnOpt = None
    good_column: GoodColumnOpt = None
    bad_column: BadColumnOpt = None
    group_column: GroupColumnOpt = None
    join: JoinOpt = ""


@dataclass(frozen=True)
class Added:
    """What a dataset gets back."""

    columns: ColumnsOpt = None
    prefix: PrefixOpt = ""
    tokens: TokensOpt = False
    words: NestedWordsOpt = False
    rows: RowsOpt = "record"
    rank: RankColumnOpt = False
    entropy: EntropyColumnOpt = False
    top: TopColumnOpt = 0
