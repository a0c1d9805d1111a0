"""The units a person may read log-probabilities in. Records, JSON and CSV are always nats."""

import math
from enum import Enum


class Unit(str, Enum):
    """A unit for log-probabilities."""

    nats = "nats"
    bits = "bits"
    log10 = "log10"

    def of(self, nats: float) -> float:
        """A figure in nats, in this unit."""
        return nats / {"nats": 1.0, "bits": math.log(2), "log10": math.log(10)}[self.value]

    def figure(self, nats: float) -> str:
        """The same, to four digits behind the point."""
        return f"{self.of(nats):.4f}"

    def signed(self, nats: float) -> str:
        """A difference, with its sign; none where it is nothing, to as many digits as are shown."""
        figure = f"{self.of(nats):+.4f}"
        return figure[1:] if float(figure) == 0 else figure

    @property
    def heading(self) -> str:
        """The head of a column of log-probabilities: logarithms to which base."""
        return {"nats": "logprob", "bits": "log2 prob", "log10": "log10 prob"}[self.value]
