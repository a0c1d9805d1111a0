"""The one exception for failures that are expected; anything else is a bug and keeps its traceback."""


class LmscoreError(Exception):
    """A failure a user can cause and mend: one line that says what, where, and what to do next."""


class RecordError(LmscoreError):
    """One record's own failure: others may be scored nevertheless."""
