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
