"""A request that is not answered, and why, in one sentence."""


class RefusedError(Exception):
    """With the status of HTTP that says the same."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said
