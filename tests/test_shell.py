"""lmscore among other programs: streams, pipes, interruptions, exit codes. Processes, where the process matters."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmscore import __version__, interrupt, sinks
from lmscore.terminal import command, progress

from .cli import Cli, process, shell

posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's streams and signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, writes to /dev/full")


@pytest.fixture
def llama(folder_of: Callable[[str], Path]) -> Path:
    return folder_of("llama")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """More texts than a pipe holds the scores of, and than are scored at once."""
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"The quick brown fox jumps over dog number {i}.\n" for i in range(1200)))
    return path


@posix
@pytest.mark.parametrize(
    "word",
    [
        "",
        "two words",
        "it's",
        "a\nb\tc\\n",
        "\x1b[31m'",
        "\u202e\u200b日本 é",
        "\U000e0001x",
        "\u0085",
        os.fsdecode(b"\xff\xc2"),
    ],
)
def test_the_command_that_a_page_names_is_read_again_by_bash(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lmscore", "score", word])
    assert command().isprintable()
    script = ["bash", "-c", f"lmscore() {{ printf '%s\\0' \"$@\"; }}; {command()}"]
    read = subprocess.run(script, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=True).stdout
    assert [*map(os.fsdecode, read.split(b"\0"))] == ["score", word, ""]


@posix
@pytest.mark.parametrize("words", ["--help", "--version", "--show-completion bash", "models"])
def test_a_reader_that_leaves_at_once_ends_the_talk_quietly(llama: Path, words: str) -> None:
    ended = shell(f'lmscore {words} | true; echo "${{PIPESTATUS[0]}}"', llama)
    assert (ended.stdout, ended.stderr) == ("0\n", "")


@posix
@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "csv", "tsv", "table"])
def test_a_reader_that_leaves_ends_scoring_quietly(llama: Path, lines: Path, form: str) -> None:
    ended = shell(f'lmscore score --format {form} -f "{lines}" | head -1; echo "${{PIPESTATUS[0]}}"', llama)
    first, code = ended.stdout.splitlines()
    assert (code, ended.stderr) == ("0", ""), ended
    assert first.lstrip().startswith(
        {"json": '{"text": ', "csv": "text_index,", "tsv": "text_index\t", "table": "#"}[form]
    )


@linux
@pytest.mark.parametrize("words", ["--help", "models", pytest.param("score hi", marks=pytest.mark.slow)])
def test_a_full_disk_behind_stdout_is_one_line(llama: Path, words: str) -> None:
    ended = shell(f"lmscore {words} > /dev/full", llama)
    assert ended.returncode == 1
    assert ended.stderr == ("error: cannot write standard output: No space left on device; choose another place\n")


@posix
@pytest.mark.parametrize("words", ["--help", "models", "score hi", "rank - <<< hi"])
def test_a_closed_stdout_is_one_line_before_any_work(llama: Path, words: str) -> None:
    ended = shell(f"lmscore {words} >&-", llama, env={"LMSCORE_MODEL": "never opened"})
    assert (ended.returncode, ended.stderr) == (1, "error: standard output is closed; open it: > FILE\n")


@posix
def test_a_closed_stdin_is_said(llama: Path) -> None:
    ended = shell("lmscore score - <&-", llama)
    assert (ended.returncode, ended.stderr) == (1, "error: standard input is closed; name a file\n")
    ended = shell("lmscore score <&-", llama)
    assert (ended.returncode, ended.stderr[:25]) == (2, "error: nothing to score; ")


@posix
@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("rank nowhere", 1), ("rank", 2)])
def test_a_closed_stderr_changes_no_exit_code(llama: Path, words: str, code: int) -> None:
    ended = shell(f"lmscore {words} 2>&-", llama)
    assert ended.returncode == code
    assert bool(ended.stdout) == (code == 0)


@posix
@pytest.mark.slow
def test_closed_streams_never_leak_into_a_result(llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    ended = shell(f'lmscore score hi --verbose -o "{path}" <&- >&- 2>&-', llama)
    assert ended.returncode == 0
    assert json.loads(path.read_text())["text"] == "hi"


def test_a_pipe_nobody_reads_is_no_error(cli: Cli) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        flush = write

    sink = sinks.Sink(Gone())  # type: ignore[arg-type]
    with pytest.raises(sinks.ClosedPipe):
        sink.write("a")


def feed(started: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write to a process, and leave its standard input open: it never comes to an end of its own."""
    assert started.stdin
    started.stdin.write(data)
    started.stdin.flush()


def heard(started: "subprocess.Popen[bytes]") -> bytes:
    """The next line it says."""
    assert started.stderr
    return started.stderr.readline()


@contextmanager
def heeded(number: int) -> Iterator[None]:
    """Let processes heed a signal that are started in the block: under nohup, or in the background, some would not."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def listening(started: "subprocess.Popen[bytes]") -> None:
    """Wait until lmscore has taken over the signals: SIGTERM among those caught, says /proc."""
    while started.poll() is None:
        status = Path(f"/proc/{started.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.002)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0])
def test_ctrl_c_at_any_moment_ends_without_a_word_or_a_half_file(llama: Path, tmp_path: Path, delay: float) -> None:
    path = tmp_path / "out.json"
    started = process("score", "--json", "-o", path, model=llama)
    feed(started, b"The quick brown fox.\n" * 3000)
    listening(started)
    time.sleep(delay)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out, err) == (-signal.SIGINT, b"", b"")
    assert not list(tmp_path.iterdir())


@linux
@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 0.05, 0.2])
def test_ctrl_c_while_scoring_leaves_no_half_file(llama: Path, lines: Path, delay: float) -> None:
    path = lines.with_name("out.json")
    started = process("score", "--verbose", "-f", lines, "--top", "50", "-o", path, model=llama)
    assert heard(started).startswith(b"info: loaded in ")
    time.sleep(delay)
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=60) == (b"", b"")
    assert started.returncode == -signal.SIGINT
    assert list(lines.parent.iterdir()) == [lines]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_ctrl_c_in_a_dataset_says_what_is_kept(llama: Path, tmp_path: Path, quiet: list[str]) -> None:
    source = tmp_path / "in.txt"
    source.write_text("".join(f"The quick brown fox, for the {n}th time.\n" for n in range(50_000)))
    started = process("batch", source, "-o", tmp_path / "out.jsonl", *quiet, model=llama)
    while not (tmp_path / "out.jsonl.journal").exists() and started.poll() is None:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    said = b"" if quiet else b"stopped: what is done is kept, and the same command goes on from there\n"
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out, err[-len(said) :] if said else err) == (-signal.SIGINT, b"", said)


def test_what_must_not_stay_is_undone_however_a_block_ends() -> None:
    undone: list[str] = []
    with interrupt.undone(lambda: undone.append("done")):
        assert not undone
    with pytest.raises(ZeroDivisionError), interrupt.undone(lambda: undone.append("failed")):
        raise ZeroDivisionError
    assert undone == ["done", "failed"]


@linux
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_leaves_no_half_file(llama: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A closed terminal neither."""
    with heeded(number):
        started = process("score", "--verbose", "-o", tmp_path / "out.json", model=llama)
    feed(started, b"one\n" * 600)
    assert heard(started).startswith(b"info: loaded in ")
    started.send_signal(number)
    assert started.communicate(timeout=60) == (b"", b"")
    assert started.returncode == -number
    assert not list(tmp_path.iterdir())


@linux
@pytest.mark.slow
def test_ctrl_c_ends_a_loop_of_the_shell_s(llama: Path, tmp_path: Path) -> None:
    """A shell goes on with the next round if a program that was interrupted ends in a mere exit code."""
    loop = (
        f"for part in 1 2; do '{sys.executable}' -m lmscore score -v -m '{llama}' -f '{tmp_path}/lines'; done; echo on"
    )
    (tmp_path / "lines").write_text("The quick brown fox.\n" * 20_000)
    with heeded(signal.SIGINT):
        started = subprocess.Popen(
            ["bash", "-c", loop], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    assert heard(started).startswith(b"info: loaded in ")
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == -signal.SIGINT
    assert not out.endswith(b"on\n") and b"loaded" not in err


@linux
@pytest.mark.parametrize("place", ["/dev/full", None], ids=["device", "limit"])
def test_a_full_disk_behind_an_output_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    import resource

    path = Path(place) if place else tmp_path / "out.json"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        ended = cli("score", "--json", "-o", path, *["The quick brown fox"] * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    reason = "No space left on device" if place else "File too large"
    assert ended.error == f"cannot write {path}: {reason}; choose another place"
    assert not list(tmp_path.iterdir())


def test_the_output_file_is_new_or_as_it_was(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("before")
    path.chmod(0o640)
    assert cli("score", "-o", path, stdin=b"fine\n\xff\n").code == 1
    assert path.read_text() == "before"
    assert cli("score", "-o", path, "fine").code == 0
    assert json.loads(path.read_text())["text"] == "fine"
    assert path.stat().st_mode & 0o777 == 0o640 or sys.platform == "win32"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_through_a_link_keeps_the_link(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.txt")
    assert cli("score", "-o", tmp_path / "link.csv", "fine").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.txt").read_text().startswith("text_index,"), "the format is by the name that was given"


@posix
def test_an_output_may_be_a_named_pipe(cli: Cli, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    os.mkfifo(path := tmp_path / "pipe")
    with ThreadPoolExecutor() as reader:
        read = reader.submit(path.read_text)
        assert cli("score", "--json", "-o", path, "fine").code == 0
        assert json.loads(read.result())["text"] == "fine"


def test_standard_input_is_read_where_nothing_is_named(cli: Cli) -> None:
    by_default, by_name, by_option = (
        cli("score", "--json", *words, stdin=b"one\ntwo\n").out for words in ([], ["-"], ["--file", "-"])
    )
    assert by_default == by_name == by_option
    assert [json.loads(line)["text"] for line in by_default.splitlines()] == ["one", "two"]


@posix
def test_a_terminal_is_not_waited_for(cli: Cli) -> None:
    person, terminal = os.openpty()
    with open(person, "rb"), open(terminal) as stdin:
        ended = cli("score", stdin=stdin)
    assert (ended.code, ended.err) == (
        2,
        'error: nothing to score; give a TEXT, as in lmscore score "The cat sat", or --file FILE; '
        "see lmscore score --help\n",
    )


def test_stdout_is_data_and_nothing_else(cli: Cli) -> None:
    ended = cli("rank", "-", "--verbose", "--json", "--context", "The", stdin=b"cat\n\ncat\n")
    json.loads(ended.out)
    assert [line.split(":")[0] for line in ended.err.splitlines()] == ["warning", "info", "warning", "warning", "info"]


def test_quiet_silences_all_but_errors(cli: Cli) -> None:
    assert cli("rank", "-", "-q", "--context", "The", stdin=b"cat\n\ncat\n").err == ""
    assert cli("rank", "-", "-q", stdin=b"\xff").err.startswith("error: stdin, line 1")


def test_what_cannot_be_imported_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmscore.scorer", None)  # as if it failed there
    assert cli("score", "a").error.startswith("cannot import what scoring needs: ")


@pytest.mark.slow
def test_without_docstrings_transformers_is_not_imported(folder_of: Callable[[str], Path]) -> None:
    ended = shell("lmscore score a", folder_of("llama"), env={"PYTHONOPTIMIZE": "2"})
    said = "error: transformers needs its docstrings; leave out -OO, or unset PYTHONOPTIMIZE\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)


def test_verbose_says_how_long_how_fast_and_where(cli: Cli) -> None:
    loaded, scored = cli("score", "a b c", "-v").err.splitlines()
    assert loaded.startswith("info: loaded in ")
    assert "float32 on cpu, start symbol <s> (id 0, by tokenizer bos)" in loaded
    assert scored.startswith("info: scored 3 tokens in ")
    assert scored.endswith(" tokens a second")


def test_the_version_needs_neither_torch_nor_transformers(cli: Cli) -> None:
    out = cli("--version").out.splitlines()
    assert out[0] == f"lmscore {__version__}"
    assert [line.split()[0] for line in out[1:]] == ["torch", "transformers"]


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shell_completion_is_at_hand(llama: Path, name: str) -> None:
    ended = shell(f"lmscore --show-completion {name}", llama)
    assert ended.returncode == 0
    assert "_LMSCORE_COMPLETE=" in ended.stdout
    ended = shell(
        "lmscore", llama, env={"_LMSCORE_COMPLETE": "complete_bash", "COMP_WORDS": "lmscore sc", "COMP_CWORD": "1"}
    )
    assert ended.stdout == "score\n"


def test_no_words_show_the_help(cli: Cli) -> None:
    ended = cli()
    assert (ended.code, ended.err) == (2, "")
    assert "Usage: lmscore [OPTIONS] COMMAND" in ended.out


@pytest.mark.parametrize("words", [["--help"], ["score", "-h"], ["rank", "--help"], ["models", "--help"]])
def test_help_fits_80_columns_and_every_option_has_some(cli: Cli, words: list[str]) -> None:
    ended = cli(*words)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    options = [line for line in ended.out.splitlines() if line.startswith("│ -")]
    assert options
    assert all(len(line.strip("│ ").split("  ")) > 1 for line in options)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_names_each_step_once_and_never_a_stale_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    with progress(quiet=False) as report:
        report("Fetching it", 0, 93_000_000)
        report("Fetching it", 20_000_000, 93_000_000)
        time.sleep(0.3 * terminal)  # the bar is drawn ten times a second
        fetching = capsys.readouterr().err
        report("Converting it")
        time.sleep(0.3 * terminal)
    converting = capsys.readouterr().err
    assert (fetching.count("Fetching it"), converting.count("Converting it")) == (1, 1)
    assert ("20 of 93 MB" in fetching) == terminal
    assert "93 MB" not in converting.split("Converting it")[1]
    assert terminal or fetching + converting == "Fetching it\nConverting it\n"


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as report:
        report("Fetching it", 0, 93_000_000)
    assert capsys.readouterr().err == ""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("words", ["score --json -f {lines}", "score -f {lines}"])
def test_a_page_is_whole_though_the_reader_of_the_output_has_gone(tmp_path: Path, llama: Path, words: str) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"line {number}\n" for number in range(300)))
    files = f"--html {tmp_path}/a.html" + (f" --svg {tmp_path}/a.svg" if "json" not in words else "")
    ended = shell(f'lmscore {words.format(lines=lines)} {files} -q | head -1; echo "${{PIPESTATUS[0]}}"', llama)
    assert ended.stderr == "" and ended.stdout.splitlines()[-1] == "0"
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("line 299") > 0
    assert "json" in words or (tmp_path / "a.svg").read_text(encoding="utf-8").endswith("</svg>\n")


@posix
def test_a_terminal_is_standard_output_by_its_own_name_and_nowhere_is_nobody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    with open(leader), open(follower, "w") as terminal, open(os.devnull, "w") as nowhere:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert sinks.is_stdout(os.ttyname(follower)) and not sinks.is_stdout(os.devnull)
        monkeypatch.setattr(sys, "stdout", nowhere)
        assert not sinks.is_stdout(os.devnull)


@linux
def test_an_output_may_be_a_pipe_as_a_shell_names_it(cli: Cli) -> None:
    reader, writer = os.pipe()
    with open(reader, encoding="utf-8") as read_from:
        assert cli("score", "a", "--json", "-o", f"/dev/fd/{writer}").code == 0
        os.close(writer)
        assert json.loads(read_from.read())["text"] == "a"


@linux
def test_a_page_does_not_go_among_the_output(tmp_path: Path, llama: Path) -> None:
    for place in ("/dev/stdout", str(tmp_path / "out")):
        ended = shell(f'lmscore score a --html "{place}" > "{tmp_path}/out"', llama)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: --html names a file: standard output has the table")
