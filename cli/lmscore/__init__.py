"""lmscore: what a language model makes of a text, token by token, and which candidate it prefers.

``open_scorer("smollm2").score("The cat sat").total_logprob`` is log P(text) in nats.
"""

from typing import TYPE_CHECKING, Any

from .errors import LmscoreError
from .records import Ranking, Reading, Score, Text, Token

if TYPE_CHECKING:
    from .scorer import open_scorer

__all__ = ["LmscoreError", "Ranking", "Reading", "Score", "Text", "Token", "open_scorer"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """torch and transformers take seconds to import: only who opens a scorer pays for them."""
    if name == "open_scorer":
        from .scorer import open_scorer

        return open_scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
