"""`python -m tests.benchmarks.accelerator`: a Llama of one billion random weights in bfloat16 on an NVIDIA card.

Lines, candidates and docs, lmscore beside lm-eval, with the card's measured matrix rate. First in float32, once, beside
a plain loop over transformers: there totals must agree closely enough to show a wrong attention. `--smoke` goes the
same way with a tiny model on the CPU, to see that it can go.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import children, comparison, works
from .__main__ import one_of, run

WORKS = ("lines", "rank", "rank-long", "docs")
BATCH_SIZES = (16, 64, 256)

TOLERANCE = 0.1
"""Nats a token, in bfloat16: lm-eval keeps logits in it, where numbers around 10 stand 0.06 apart, and adds them up in
it, where sums beyond 256 stand 2 apart."""

TOLERANCE_IN_FLOAT32 = 1e-3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 without a card, or where totals disagree."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.accelerator", description=__doc__)
    parser.add_argument("works", nargs="*", type=one_of(WORKS), metavar="WORK", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each contestant (default 5)")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, small works, one run, on the CPU")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results", "accelerator"), metavar="FOLDER")
    wanted = parser.parse_args(arguments)
    names = wanted.works or WORKS
    try:
        card = None if wanted.smoke else children.run([sys.executable, "-c", NAME_OF_CARD]).out.strip()
        with tempfile.TemporaryDirectory() as folder:
            children.call("random_model", [folder, "tiny" if wanted.smoke else "billion"])
            model = comparison.Model.find(folder, Path(folder), "a Llama of random weights")
            setting = comparison.Setting(model, wanted.runs, BATCH_SIZES, TOLERANCE, "cuda", "bfloat16", card)
            sizes = works.ACCELERATOR
            if wanted.smoke:
                setting, sizes = (
                    dataclasses.replace(setting, runs=1, batch_sizes=(2,), device="cpu", trial=0.001),
                    works.SMOKE,
                )
            precise = dataclasses.replace(setting, runs=1, dtype="float32", tolerance=TOLERANCE_IN_FLOAT32)
            run(precise, names, works.SMOKE if wanted.smoke else works.Sizes(), [], wanted.output / "float32")
            run(setting, names, sizes, ["lm-eval"], wanted.output)
    except (comparison.Disagreement, children.Failed) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


NAME_OF_CARD = """
import torch
if not torch.cuda.is_available():
    raise SystemExit("there is no CUDA device that this torch can use; --smoke runs a tiny model on the CPU")
print(torch.cuda.get_device_name())
"""


if __name__ == "__main__":
    sys.exit(main())
