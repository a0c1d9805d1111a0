"""What README.md says is what lmscore does: usage, outputs, recipes, the library example, the set-up commands."""

import doctest
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from . import pictures, readme

TEXT = readme.README.read_text(encoding="utf-8")
EXAMPLES = list(readme.examples(TEXT))


def _marks(command: str) -> list[pytest.MarkDecorator]:
    """What a command needs: a POSIX shell, the tools it calls, and (all but help) the default model."""
    tools = [tool for tool in ("jq", "awk", "xargs") if re.search(rf"\b{tool}\b", command)]
    missing = [tool for tool in ("bash", *tools) if shutil.which(tool) is None]
    there = pytest.mark.skipif(
        bool(missing) or sys.platform == "win32", reason=f"needs {', '.join(missing) or 'POSIX'}"
    )
    return [there] if "--help" in command or "lmscore" not in command else [there, pytest.mark.slow]


@pytest.mark.parametrize(
    "example",
    [pytest.param(e, id=e.command.partition("\n")[0], marks=_marks(e.command)) for e in EXAMPLES],
)
def test_a_command_prints_what_readme_says(example: readme.Example) -> None:
    now = readme.printed(example.command)
    assert readme.agree(example.output, now), readme.difference(example, now)


def test_readme_shows_the_usage_of_every_command() -> None:
    shown = {example.command.strip() for example in EXAMPLES}
    assert {f"lmscore {command}--help" for command in ("", "score ", "rank ", "diff ", "batch ", "models ")} <= shown


def test_readme_gives_exactly_the_two_set_up_commands() -> None:
    assert readme.setup_commands(TEXT) == [
        'pip install -c constraints.txt . && lmscore score "The cat sat"',
        'pip install -c constraints.txt ".[test]" && pytest',
    ]


@pytest.mark.slow
def test_the_library_example_runs() -> None:
    (source,) = readme.fenced(TEXT, "pycon")
    example = doctest.DocTestParser().get_doctest(source, {}, "README.md", "README.md", 0)
    said: list[str] = []
    results = doctest.DocTestRunner().run(example, out=said.append)
    assert results.attempted > 5 and results.failed == 0, "".join(said)


def test_every_picture_is_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert all(readme.ROOT.joinpath(path).is_file() for path in shown)
    assert {f"tests/pictures/{name}" for name in pictures.PICTURES} <= set(shown)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_the_picture_of_a_terminal_shows_what_the_command_does(tmp_path: Path) -> None:
    pictures.terminal(tmp_path)
    drawn, kept = (
        " ".join(ElementTree.parse(folder / "heat.svg").getroot().itertext()) for folder in (tmp_path, pictures.FOLDER)
    )
    # Rich names styles after a digest of all it draws, the last digits included.
    assert readme.agree(*(re.sub(r"terminal-\d+", "terminal", text) for text in (kept, drawn)))


def test_the_tree_names_every_module() -> None:
    (tree,) = readme.fenced(TEXT, "text")
    named = set(re.findall(r"^  (\S+)", tree, re.MULTILINE))
    package = readme.ROOT / "cli" / "lmscore"
    folders = {f"{path.parent.name}/" for path in package.glob("*/*.py")}
    assert named == {path.name for path in package.glob("*.py")} | folders


@pytest.mark.parametrize(
    ("written", "now", "alike"),
    [
        ("total -17.2570  3 tokens", "total -17.2571 3\ntokens", True),
        ("total -17.2570", "total -17.3570", False),
        ("1 ␣cat", "1 ␣dog", False),
        ("10 tokens", "11 tokens", False),
        ("", "something", False),
    ],
)
def test_outputs_agree_up_to_spaces_and_the_last_digits(written: str, now: str, alike: bool) -> None:
    assert readme.agree(written, now) is alike


def test_a_command_may_go_on_in_the_next_line() -> None:
    text = "```console\n$ one | \\\n    two\nout\n$ three\n```\n"
    assert [(e.command, e.output) for e in readme.examples(text)] == [("one | \\\n    two\n", "out\n"), ("three\n", "")]
