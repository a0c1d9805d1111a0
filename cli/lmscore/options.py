"""Every option of the command line, once: its type, its names, its help."""

from enum import Enum
from pathlib import PurePath
from typing import Annotated, Optional

import typer

from .catalogue import DEFAULT_MODEL
from .views.units import Unit

__all__ = ["Boundary", "Color", "DType", "Device", "Format", "InputFormat", "Measure", "Unit"]


class Format(str, Enum):
    table = "table"
    json = "json"
    csv = "csv"
    tsv = "tsv"

    @property
    def separator(self) -> str:
        """What stands between the fields of a row."""
        return "\t" if self is Format.tsv else ","

    @classmethod
    def of(cls, chosen: Optional["Format"], json: bool, output: str | None) -> "Format":
        """The format asked for, else the one the output's name asks for, else a table: decided here alone."""
        if chosen is not None and json and chosen is not cls.json:
            raise typer.BadParameter(f"--json and --format {chosen.value} contradict each other")
        if chosen is not None or json:
            return chosen or cls.json
        by_name = {".json": cls.json, ".jsonl": cls.json, ".csv": cls.csv, ".tsv": cls.tsv}
        return by_name.get(PurePath(output or "").suffix.lower(), cls.table)


class InputFormat(str, Enum):
    lines = "lines"
    jsonl = "jsonl"


class Boundary(str, Enum):
    joint = "joint"
    separate = "separate"


class Measure(str, Enum):
    sum = "sum"
    mean = "mean"
    byte = "byte"
    pmi = "pmi"


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Color(str, Enum):
    auto = "auto"
    always = "always"
    never = "never"

    @property
    def wanted(self) -> bool | None:
        """Whether colour is wanted whatever the stream is; None follows the terminal and ``NO_COLOR``."""
        return None if self is Color.auto else self is Color.always


_MODEL, _TEXT, _OUT, _TALK = "Model", "How the text is read", "Output", "Talk on stderr"

TextsArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT]…", help="Texts to score; - reads one text a line from stdin.", show_default=False),
]
CandidatesArg = Annotated[
    str, typer.Argument(metavar="FILE", help="One candidate a line; or .jsonl with groups; - is stdin.")
]
NameArg = Annotated[str, typer.Argument(metavar="NAME", help="A name from the catalogue.")]
FileOpt = Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="Score each line of this file.")]
WholeOpt = Annotated[bool, typer.Option("--whole", help="Take the file (or stdin) as one text, line ends included.")]
InputFormatOpt = Annotated[
    InputFormat | None,
    typer.Option("--input-format", help="How FILE is written; by its name if not given.", show_default=False),
]
ContextOpt = Annotated[
    str | None,
    typer.Option("--context", "-c", metavar="TEXT", help="What stands directly before; given, not scored."),
]
JoinOpt = Annotated[
    str, typer.Option("--join", metavar="TEXT", help="Put this before each candidate, a space say.", show_default=False)
]

ModelOpt = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        envvar="LMSCORE_MODEL",
        help="A catalogue name, a hub id, a folder with safetensors, or a .gguf file.",
        rich_help_panel=_MODEL,
    ),
]
RevisionOpt = Annotated[
    str | None,
    typer.Option("--revision", metavar="REV", help="A hub model's branch, tag or commit.", rich_help_panel=_MODEL),
]
TrustOpt = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run Python code that the model brings.", rich_help_panel=_MODEL),
]
DTypeOpt = Annotated[
    DType,
    typer.Option("--dtype", help="Precision. auto: float32 on a CPU, else the checkpoint's.", rich_help_panel=_MODEL),
]
DeviceOpt = Annotated[
    Device, typer.Option("--device", help="auto takes an accelerator where there is one.", rich_help_panel=_MODEL)
]
ThreadsOpt = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads to use.", rich_help_panel=_MODEL)
]

BosOpt = Annotated[
    str | None,
    typer.Option("--bos", metavar="TOKEN", help="Start symbol: a token, an id, or none.", rich_help_panel=_TEXT),
]
EosOpt = Annotated[bool, typer.Option("--eos", help="Score the end symbol as a last token.", rich_help_panel=_TEXT)]
ParseSpecialOpt = Annotated[
    bool,
    typer.Option("--parse-special", help="Let <|…|> in a text be the symbol it names.", rich_help_panel=_TEXT),
]
BoundaryOpt = Annotated[
    Boundary,
    typer.Option("--boundary", help="Tokenize context and text together or apart.", rich_help_panel=_TEXT),
]
StrideOpt = Annotated[
    int | None,
    typer.Option(
        "--stride",
        metavar="N",
        min=1,
        help="New tokens in each further window of a long text; half a window if not given.",
        rich_help_panel=_TEXT,
    ),
]

ByOpt = Annotated[Measure, typer.Option("--by", help="Rank by total, per token, per byte, or against no context.")]
TopTokensOpt = Annotated[
    int, typer.Option("--top", metavar="K", min=0, help="Also show the K likeliest tokens at each place.")
]
TopPlacesOpt = Annotated[
    int | None, typer.Option("--top", metavar="N", min=1, help="Show only the first N places of each group.")
]
RankOpt = Annotated[bool, typer.Option("--rank", help="Each token's rank in JSON and CSV too.", rich_help_panel=_OUT)]
EntropyOpt = Annotated[
    bool, typer.Option("--entropy", help="Entropy of the model's expectation at each place.", rich_help_panel=_OUT)
]
JsonOpt = Annotated[
    bool, typer.Option("--json", help="The same as --format json: one object a line.", rich_help_panel=_OUT)
]
FormatOpt = Annotated[
    Format | None,
    typer.Option("--format", help="By the name of -o if not given, else table.", rich_help_panel=_OUT),
]
TokensOpt = Annotated[
    bool, typer.Option("--tokens/--no-tokens", help="List the tokens, or only the totals.", rich_help_panel=_OUT)
]
UnitOpt = Annotated[
    Unit, typer.Option("--unit", help="For the table; JSON and CSV are always nats.", rich_help_panel=_OUT)
]
OutOpt = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write a whole file, or none.", rich_help_panel=_OUT),
]
ColorOpt = Annotated[
    Color,
    typer.Option("--color", help="Colour; auto follows the terminal and NO_COLOR.", rich_help_panel=_OUT),
]
QuietOpt = Annotated[
    bool, typer.Option("--quiet", "-q", help="No notices, no progress; errors stay.", rich_help_panel=_TALK)
]
VerboseOpt = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say load time, tokens a second and device.", rich_help_panel=_TALK),
]
ModelsJsonOpt = Annotated[bool, typer.Option("--json", help="One object a line.")]
VersionOpt = Annotated[bool, typer.Option("--version", help="Show lmscore's, torch's and transformers' versions.")]

MODEL = DEFAULT_MODEL
