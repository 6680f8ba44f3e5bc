"""When something began, and when it ended, whatever the machine's clock did meanwhile."""

import time
from datetime import UTC, datetime, timedelta


class Stopwatch:
    """Started when made. A clock that is set back never gives an end before its beginning."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Since then."""
        return time.monotonic() - self._began

    def now(self) -> datetime:
        """The beginning, and what has passed since."""
        return self.started + timedelta(seconds=self.seconds())
