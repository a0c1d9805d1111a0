"""The house in order: who imports whom, what is public, what is documented, what stays unloaded."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

import lmscore
from lmscore.app import app

PACKAGE = Path(lmscore.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Which of lmscore's modules each imports; only the app knows everyone. "lmscore" is the package itself, "" here.
IMPORTS = {
    "": "errors records scorer",
    "__main__": "app interrupt",
    "interrupt": "",
    "errors": "",
    "records": "",
    "planning": "",
    "conversion": "errors unread weights",
    "catalogue": "errors",
    "hints": "formats records",
    "given": "errors files formats hints options records",
    "gathering": "",
    "usage": "errors formats job options records roles",
    "formats": "errors",
    "files": "errors formats records",
    "sinks": "errors files interrupt",
    "tables": "errors files formats",
    "locks": "errors interrupt",
    "journal": "errors locks sinks",
    "roles": "errors records tables",
    "encoding": "errors formats tables",
    "corpus": "records",
    "job": "encoding records roles views.rows",
    "places": "errors files journal sinks",
    "batch": (
        "corpus encoding errors files formats job journal lmscore outcomes places records roles sinks tables "
        "views.remarks"
    ),
    "outcomes": "errors job planning records roles",
    "ranking": "errors records",
    "words": "records",
    "alignment": "",
    "comparison": "alignment ranking records words",
    "spelling": "errors",
    "unread": "errors",
    "vocabulary": "errors records spelling words",
    "cutting": "errors formats records spelling vocabulary",
    "tokenization": "cutting errors records spelling vocabulary",
    "found": "engine records tokenization vocabulary",
    "accelerator": "",
    "engine": "accelerator errors planning",
    "linear": "",
    "attention": "accelerator linear planning",
    "weights": "errors",
    "decoder": "accelerator attention linear planning weights",
    "pretrained": "accelerator errors linear planning",
    "loading": (
        "accelerator catalogue conversion decoder engine errors locating planning pretrained records tokenization "
        "weights"
    ),
    "locating": "catalogue download errors records",
    "scorer": "catalogue engine errors found loading locating planning ranking records tokenization vocabulary words",
    "show": (
        "catalogue formats options records sinks terminal views.diff views.explain views.heat views.remarks "
        "views.report views.rows views.summary views.table views.words"
    ),
    "download": "catalogue conversion errors interrupt locks records",
    "views": "",
    "views.chart": "",
    "views.explain": "records views.glyphs views.remarks views.table",
    "views.glyphs": "",
    "views.heat": "records views.columns views.glyphs views.remarks views.scale views.spans views.table",
    "views.remarks": "comparison corpus records views.glyphs views.scale views.spans views.units",
    "views.report": (
        "comparison corpus lmscore records views.chart views.columns views.glyphs views.remarks views.scale "
        "views.spans views.units"
    ),
    "views.columns": "comparison corpus records views.glyphs views.remarks views.scale views.spans views.units",
    "views.units": "",
    "views.words": "records views.columns views.remarks views.table",
    "views.rows": "catalogue comparison corpus lmscore records",
    "views.diff": "comparison records views.glyphs views.remarks views.scale views.spans views.table",
    "views.scale": "",
    "views.spans": "comparison records views.glyphs",
    "views.summary": "corpus records views.columns views.remarks views.table",
    "views.table": "catalogue records views.columns views.glyphs views.remarks views.scale views.spans views.units",
    "options": "catalogue errors formats records views.units",
    "terminal": "interrupt records views.glyphs views.scale",
}
FOREIGN = {
    "rich": "terminal views.diff views.explain views.heat views.summary views.table views.words",
    "jinja2": "views.report",
    "markupsafe": "views.report",
    "pyarrow": "encoding tables",
    "typer": "app options",
    "torch": "accelerator attention conversion decoder engine linear loading pretrained scorer unread weights",
    "transformers": "conversion loading pretrained",
}


@cache
def imports(module: str) -> Sequence[str]:
    """What a module imports when it runs, wherever in it: absolute names, its own package's as ``lmscore.…``."""
    return list(_imports(module))


def _imports(module: str) -> Iterator[str]:
    path = MODULES[module]
    package = ["lmscore", *path.relative_to(PACKAGE).parent.parts]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield whole if whole.removeprefix("lmscore.") in MODULES else source


def own(module: str) -> set[str]:
    found = {name for name in imports(module) if name.split(".")[0] == "lmscore"}
    return {name.removeprefix("lmscore").removeprefix(".") for name in found}


def test_every_module_has_its_place() -> None:
    assert MODULES.keys() == IMPORTS.keys() | {"app"}


@pytest.mark.parametrize("module", IMPORTS)
def test_a_module_imports_what_it_may(module: str) -> None:
    assert {name or "lmscore" for name in own(module)} == set(IMPORTS[module].split())


def test_imports_make_no_circle() -> None:
    waiting = {module: own(module) - {module, ""} for module in MODULES if module}
    while leaves := {module for module, needs in waiting.items() if not needs}:
        waiting = {module: needs - leaves for module, needs in waiting.items() if module not in leaves}
    assert not waiting


def test_only_the_app_is_imported_by_nobody_below() -> None:
    assert {module for module in MODULES if "app" in own(module)} == {"__main__"}
    assert {module for module in MODULES if "scorer" in own(module)} == {"", "app"}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_library_is_met_only_where_it_belongs(foreign: str) -> None:
    users = {module for module in MODULES if foreign in {name.split(".")[0] for name in imports(module)}}
    assert users == set(FOREIGN[foreign].split())


def test_the_public_names() -> None:
    assert lmscore.__all__ == ["LmscoreError", "Ranking", "Reading", "Score", "Text", "Token", "open_scorer"]
    assert [getattr(lmscore, name).__name__ for name in lmscore.__all__] == lmscore.__all__
    with pytest.raises(AttributeError):
        _ = lmscore.no_such_name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["batch", "--help"],
        *(pytest.param([name, "--help"], marks=pytest.mark.slow) for name in ("score", "rank", "diff")),
        *(pytest.param([name], marks=pytest.mark.slow) for name in ("models", "--version")),
    ],
)
def test_help_models_and_version_load_neither_torch_nor_transformers(arguments: list[str]) -> None:
    code = (
        "import sys; from lmscore.app import run; "
        f"sys.argv = ['lmscore', *{arguments!r}]; code = run(); "
        "print({'torch', 'transformers', 'numpy', 'pyarrow', 'jinja2'} & sys.modules.keys(), code, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert ran.stderr.splitlines()[-1] == "set() 0"
    assert ran.stdout


def commands(command: Any, name: str = "lmscore") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {child}")


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_option_and_argument_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_the_commands() -> None:
    expected = {"", " score", " rank", " diff", " batch", " models", " models pull", " models remove"}
    assert {name.removeprefix("lmscore") for name in COMMANDS} == expected


@pytest.mark.parametrize("name", lmscore.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    public = getattr(lmscore, name)
    assert own_docstring(public)
    for member_name, member in vars(public).items() if inspect.isclass(public) else ():
        field = inspect.ismemberdescriptor(member)  # which the class's docstring describes
        if not member_name.startswith("_") and hasattr(member, "__get__") and not field:
            assert own_docstring(member), f"{name}.{member_name}"


def own_docstring(thing: Any) -> str:
    text = thing.__doc__ or ""
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text  # what a dataclass makes up


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    assert importlib.import_module(f"lmscore.{module}".rstrip(".")).__doc__


def test_the_scorer_that_is_opened_is_documented() -> None:
    from lmscore.scorer import Scorer

    for name in ("score", "scores", "rank"):
        assert "Raises:" in (getattr(Scorer, name).__doc__ or "")
