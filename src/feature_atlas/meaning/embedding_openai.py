"""Texts as vectors from any endpoint that speaks OpenAI's embeddings.

Retries on 429, 5xx, time-outs and lost connections are the client's own; an error in the body of a
200 is tried again here. What comes back is not trusted: see `checked_vectors`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openai

from feature_atlas.meaning.embedding import checked_vectors
from feature_atlas.meaning.endpoint_address import doubt_about, require_base_url
from feature_atlas.meaning.endpoint_errors import error_in, status_of, will_pass

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0


@dataclass
class OpenAIEmbedder:
    """One embedding model over HTTP."""

    base_url: str
    """Of the endpoint, usually ending in /v1."""
    model: str
    """As the endpoint calls it."""
    api_key: str = field(repr=False)
    """Any word for a local server that wants none."""
    timeout_s: float = 60.0
    """Per attempt."""
    max_retries: int = 5
    """After the first attempt, on 429, 5xx, time-outs and lost connections."""
    revision: str = field(default="", init=False)
    """Endpoints do not tell."""

    def __post_init__(self) -> None:
        require_base_url(self.base_url, "ATLAS_EMBEDDING_URL")
        self._client = openai.OpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            timeout=self.timeout_s,
            max_retries=self.max_retries,
        )

    @property
    def _where(self) -> str:
        return f"{self.base_url} (embedding model {self.model!r})"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row of numbers for each text, in order."""
        try:
            response = self._answer(texts)
        except openai.APIConnectionError as error:
            raise ConnectionError(
                f"{self._where} did not answer in {self.max_retries + 1} attempts of "
                f"{self.timeout_s:g} s: {error}. Is the endpoint running, and ATLAS_EMBEDDING_URL "
                "right?"
            ) from error
        except openai.OpenAIError as error:
            raise RuntimeError(f"{self._where} refused: {error}. {self._advice(error)}") from error
        except ValueError as error:  # no JSON, or none of the form
            raise RuntimeError(f"{self._where} gave no readable answer: {error}.") from error
        return checked_vectors(self._in_order(response, len(texts)), len(texts), self._where)

    def _answer(self, texts: Sequence[str]) -> Any:
        """What the endpoint says, after as many attempts as may help."""
        n_failures = 0
        while True:
            response: Any = self._client.embeddings.create(
                model=self.model, input=list(texts), encoding_format="float"
            )
            error = error_in(response)
            if error is None:
                return response
            if not will_pass(error) or n_failures == self.max_retries:
                raise error
            time.sleep(min(FIRST_PAUSE_S * 2**n_failures, LONGEST_PAUSE_S))
            n_failures += 1

    def _advice(self, error: openai.OpenAIError) -> str:
        if status_of(error) in (404, 405) and "model" not in str(error).lower():
            return f"Check ATLAS_EMBEDDING_URL: {doubt_about(self.base_url)}."
        return "Check the key (OPENAI_API_KEY) and the model's name (ATLAS_EMBEDDING_MODEL)."

    def _in_order(self, response: Any, n_texts: int) -> list[Any]:
        """The vectors in the order of the texts, whatever order they came in."""
        items = getattr(response, "data", None)  # the client hands on a body of another form
        if not isinstance(items, list):
            raise ValueError(
                f"{self._where} answered without a list `data`: {str(response)[:200]}. If "
                f"ATLAS_EMBEDDING_URL is wrong: {doubt_about(self.base_url)}"
            )
        rows = {str(getattr(i, "index", None)): getattr(i, "embedding", None) for i in items}
        wanted = [str(number) for number in range(n_texts)]
        if len(items) == n_texts and set(rows) != set(wanted):
            raise ValueError(
                f"{self._where} numbered its vectors {', '.join(sorted(rows)[:5])}; "
                f"expected 0 to {n_texts - 1}, each once."
            )
        return [rows[number] for number in wanted] if len(items) == n_texts else items
