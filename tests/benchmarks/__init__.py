"""lmscore beside the tools that people use: the same weights, the same ids, in turn. `python -m tests.benchmarks`."""
