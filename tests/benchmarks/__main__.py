"""`python -m tests.benchmarks`: make the works, let contestants score them in turn, show and write what came out."""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from lmscore.errors import LmscoreError

from . import children, comparison, machine, picture, report, start, works

CHOICES = (*works.NAMES, "start")
IN_SMOKE = ("lines", "rank-tree", "start")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 where totals disagree or lmscore fails."""
    wanted = _parser().parse_args(arguments)
    sizes, runs, batch_sizes = works.Sizes(), wanted.runs, wanted.batch_sizes
    if wanted.full_growth:
        sizes = dataclasses.replace(sizes, growth=(*sizes.growth, 100_000))
    with tempfile.TemporaryDirectory() as folder:
        if wanted.smoke:
            sizes, runs, batch_sizes = works.SMOKE, 1, [2]
        if wanted.smoke and wanted.model is None:
            children.call("random_model", [folder, "tiny"])
        try:
            model = comparison.Model.find(wanted.model or (folder if wanted.smoke else "smollm2"), Path(folder))
            setting = comparison.Setting(model, runs, batch_sizes, trial=0.001 if wanted.smoke else 0.3)
            names = wanted.works or (IN_SMOKE if wanted.smoke else CHOICES)
            run(setting, names, sizes, list(comparison.PEERS), wanted.output)
        except (comparison.Disagreement, children.Failed, LmscoreError) as err:
            print(f"error: {err}", file=sys.stderr)
            return 1
    return 0


def run(
    setting: comparison.Setting, names: Sequence[str], sizes: works.Sizes, peers: Sequence[str], output: Path
) -> None:
    """Compare, and write table, JSON and picture.

    Raises:
        Disagreement: contestants give different totals.
        Failed: lmscore failed.
    """
    contestants, missing = comparison.contestants(peers)
    for name in missing:
        say(f"missing: {name} is not installed and takes no part; pip install '.[bench]' brings it")
    bare = children.run([sys.executable, "-c", "import torch"])
    compared: list[comparison.Compared] = []
    for name in names:
        if name == "start":
            compared += start.measure(setting, say)
            continue
        for work in works.build(name, sizes, setting.model.tokenizer):
            compared.append(comparison.compare(work, setting, contestants, say))
    found = report.as_json(compared, setting, missing, bare.peak)
    output.mkdir(parents=True, exist_ok=True)
    output.joinpath("results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    about = machine.describe()
    where = f"{setting.model.title}, {setting.dtype}; {setting.card or about['cpu']}, {about['cores']} cores"
    output.joinpath("results.svg").write_text(picture.draw(compared, where), encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(report.table(compared, setting.model.weight_bytes))
    console.print(f"{where}; {', '.join(' '.join(pair) for pair in about['versions'].items())}", highlight=False)
    for name in missing:
        console.print(f"not compared: {name} (not installed)", highlight=False)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """What an argument must be. (argparse's own choices do not allow that there is none.)"""

    def chosen(name: str) -> str:
        if name not in choices:
            raise argparse.ArgumentTypeError(f"no work {name!r}; there are {', '.join(choices)}")
        return name

    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("works", nargs="*", type=one_of(CHOICES), metavar="WORK", help=f"of {', '.join(CHOICES)}")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each contestant (default 5)")
    parser.add_argument("--model", metavar="MODEL", help="a catalogue name or a folder (default smollm2)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 16, 32], metavar="N", help="lm-eval tries")
    parser.add_argument("--full-growth", action="store_true", help="growth to 100,000 tokens: minutes more")
    parser.add_argument("--smoke", action="store_true", help="a tiny random model, small works, one run: seconds")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), metavar="FOLDER")
    return parser


if __name__ == "__main__":
    sys.exit(main())
