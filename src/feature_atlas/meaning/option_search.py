"""Which options of a request an endpoint refuses, found by asking for less and less."""

import openai

from feature_atlas.meaning.endpoint_errors import status_of
from feature_atlas.meaning.request_options import Form, named_options, plainer, plainest

REFUSALS = (400, 422)
"""Something in the request is wrong."""
ODD_REFUSALS = (404, 405, 415, 500, 501)
"""By which some endpoints refuse an option; they mean other things, too."""


class OptionSearch:
    """The form of one request, and after a refusal the next one to try."""

    def __init__(self, form: Form, *, is_proven: bool) -> None:
        self.form = form
        """To be sent now."""
        self.first_error: openai.OpenAIError | None = None
        """What was said to what was wanted."""
        self._is_proven = is_proven
        self._tried, self._next = {form}, list[Form]()
        self._has_guessed = False

    def leaves_out(self, error: openai.OpenAIError, *, is_last: bool) -> bool:
        """Whether the error may be about an option, and what is left out now.

        An error that names one is about that; another one may be, if it says that the request is
        wrong, or nothing was ever answered. ``is_last``: asking the same again is no use.
        """
        status = status_of(error)
        if status not in REFUSALS + ODD_REFUSALS:
            return False
        self.first_error = self.first_error or error
        named = plainer(self.form, named_options(f"{getattr(error, 'param', '')} {error}"))
        if named:
            self._next = named + self._next
        elif not self._has_guessed:
            if status not in REFUSALS and self._is_proven:
                return False
            if status in (500, 501) and not is_last:
                return False
            names = ("response_format",) if self._is_proven else Form._fields
            self._next += plainest(self.form, names)
            self._has_guessed = True
        return self._goes_on()

    def _goes_on(self) -> bool:
        while self._next:
            form = self._next.pop(0)
            if form not in self._tried:
                self._tried.add(form)
                self.form = form
                return True
        return False
