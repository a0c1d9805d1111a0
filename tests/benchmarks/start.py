"""Whole processes, from the shell's call to their end: `lmscore score` beside the bare script, and `lmscore --help`."""

import re
import shutil
import sys
from pathlib import Path

from . import children
from .comparison import OURS, Compared, Disagreement, Measured, Say, Setting
from .matrices import Cost

TEXT = "The cat sat"
BARE, HELP = "bare script", "lmscore --help"
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""What pip installs is compiled, and so is what is measured, whatever is set here."""


def measure(setting: Setting, say: Say) -> list[Compared]:
    """Run the three in turn: lmscore and the bare script are one comparison, the help another.

    Raises:
        Disagreement: lmscore's table does not show the total that the bare script prints.
        children.Failed: one of them failed.
    """
    model = setting.model
    script = shutil.which("lmscore", path=str(Path(sys.executable).parent))
    lmscore = [script] if script else [sys.executable, "-m", "lmscore"]
    bare = [sys.executable, str(Path(__file__).with_name("bare.py")), str(model.folder), str(model.start), TEXT]
    commands = {OURS: [*lmscore, "score", TEXT, "--model", model.name], BARE: bare, HELP: [*lmscore, "--help"]}
    measured = {name: Measured(name) for name in commands}
    outputs: dict[str, str] = {}
    for number in range(setting.runs):
        for name, command in commands.items():
            ended = children.run(command, COMPILED)
            say(f"start: {name}, run {number + 1}: {ended.seconds:.2f} s")
            outputs[name] = ended.out
            measured[name].seconds.append(ended.seconds)
            measured[name].peaks.append(None if name == HELP else ended.peak)  # it needs less than its parent here
    _check(outputs[OURS], float(outputs[BARE]))
    helped = measured.pop(HELP)
    helped.contestant = OURS
    return [
        Compared("start", f'whole processes that score "{TEXT}"', 0, Cost(0, 0), None, [], [*measured.values()]),
        Compared("help", HELP, 0, Cost(0, 0), None, [], [helped]),
    ]


def _check(table: str, total: float) -> None:
    if not any(abs(float(shown) - total) < 1e-3 for shown in re.findall(r"-\d+\.\d+", table)):
        raise Disagreement(f"start: the bare script's total, {total:.4f}, is nowhere in lmscore's table:\n{table}")
