"""Plain text through the base language model, for the gate check and the null (3.2, 4.1).

The file is read line by line and never held: only where each document begins is kept, so that an
epoch can be shuffled. A document belongs to the held-out part, or to the training part, by its
own hash: the same text is always on the same side, however often it comes and in whatever order.
"""

import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.progress import track
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from feature_atlas.etl.config.inputs import BaseModelConfig
from feature_atlas.etl.study import Study
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.token_roles import PromptBatch, Role

Part = Literal["train", "held_out"]
N_PARTS = 10
"""One document of so many is held out."""

HeldOutText = dict[int, list[Float[Tensor, "token d_model"]]]
"""By layer, batch by batch, in main memory and in the model's own kind of number."""


class Document(NamedTuple):
    """One line of the file."""

    line: int
    """Its number, 1-based."""
    text: str


class TextFile:
    """A .txt file with a document a line, or a .jsonl file with a "text" in each line."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(
                f"no text at {path}: set base_model.text to a .txt or .jsonl file."
            )
        if path.suffix not in (".txt", ".jsonl"):
            raise ValueError(
                f"{path} is neither .txt (a document a line) nor .jsonl (a text in each line)."
            )
        self.path = path
        places: dict[Part, array[int]] = {"train": array("q"), "held_out": array("q")}
        with path.open("rb") as file:
            for line in count(1):
                start = file.tell()
                document = self._read(file, line)
                if document is None:
                    break
                if document.text.strip():
                    places[part_of(document.text)].extend((start, line))
        self.places = {part: np.array(found).reshape(-1, 2) for part, found in places.items()}
        for part, found in self.places.items():
            if not len(found):
                raise ValueError(
                    f"{path} has no document for the part {part}: one of {N_PARTS} is held out by "
                    "its hash; expected some hundred documents."
                )

    def documents(self, part: Part, order: Sequence[int] | None = None) -> Iterator[Document]:
        """The documents of one part, in the file's order, or those of these numbers."""
        places = self.places[part]
        if order is not None:
            places = places[np.asarray(order, np.int64)]
        with self.path.open("rb") as file:
            for start, line in places:
                file.seek(start)
                document = self._read(file, int(line))
                if document is None:
                    raise ValueError(f"{self.path} ended before line {line}: it changed meanwhile.")
                yield document

    def _read(self, file: BinaryIO, line: int) -> Document | None:
        """The document at the file's position, None at its end."""
        content = file.readline()
        if not content:
            return None
        try:
            said = content.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}, line {line}: no UTF-8 text ({error}).") from None
        if self.path.suffix == ".txt" or not said.strip():
            return Document(line, said.rstrip("\r\n"))
        return Document(line, self._text(said, line))

    def _text(self, said: str, line: int) -> str:
        try:
            entry = json.loads(said)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.path}, line {line}: no JSON ({error}).") from None
        text = entry.get("text") if isinstance(entry, dict) else None
        if not isinstance(text, str):
            raise ValueError(
                f'{self.path}, line {line}: expected an object with a "text", such as '
                f'{{"text": "..."}}; it is {said.strip()[:60]}'
            )
        if not text.isascii() and (half := re.search("[\ud800-\udfff]", text)):
            raise ValueError(
                f"{self.path}, line {line}: the text holds half a character, {half[0]!a}, which "
                "no tokenizer reads: leave it out."
            )
        return text


def part_of(text: str) -> Part:
    """On which side a document is: decided by its hash alone."""
    digest = hashlib.sha256(text.strip().encode()).digest()
    return "held_out" if int.from_bytes(digest[:8]) % N_PARTS == 0 else "train"


def open_text(path: Path) -> TextFile:
    """The file's index, made once per process while size and time stay the same."""
    facts = path.stat() if path.is_file() else None
    return _index(path, facts and (facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=1)
def _index(path: Path, _version: tuple[int, int] | None) -> TextFile:
    return TextFile(path)


def base_text_tokens(study: Study, layers: Sequence[int], *, part: Part) -> Iterator[Tokens]:
    """Residuals of plain text in the base model, each document once.

    A document's first token has the role BOS and every other QUESTION; `prompt` is the document in
    its batch.
    """
    for batch in base_text_batches(study, part):
        yield harvest(study.base_model.model, batch, layers)


def held_out_text(study: Study, layers: Sequence[int], n_tokens: int) -> HeldOutText:
    """Residuals of the first held-out tokens, BOS left out, of every layer; as many as asked."""
    found: HeldOutText = {layer: [] for layer in layers}
    left, batches = n_tokens, base_text_tokens(study, layers, part="held_out")
    for tokens in track(batches, "gate check: plain text"):
        counted = tokens.only((Role.QUESTION,))
        for layer, residual in counted.residuals.items():
            found[layer].append(residual[:left].cpu())
        left -= len(counted.roles)
        if left <= 0:
            break
    return found


def base_text_batches(
    study: Study, part: Part, order: Sequence[int] | None = None
) -> Iterator[PromptBatch]:
    """The same text as batches of tokens, in the file's order, or the documents of these numbers.

    The order of an epoch is `text_epoch`.
    """
    config = _config(study)
    tokenizer = study.base_model.tokenizer
    documents = open_text(config.text).documents(part, order)
    while chosen := list(islice(documents, study.batch_size)):
        batch = encode_documents(tokenizer, chosen, config.text, config.context_size)
        yield batch.to(study.config.device)


def text_epoch(study: Study, epoch: int, seed_no: int = 0) -> Int[np.ndarray, " document"]:
    """Numbers of all training documents, shuffled anew each epoch, by one of the run's orders."""
    n_documents = len(open_text(_config(study).text).places["train"])
    return np.random.default_rng([study.config.order_seeds[seed_no], epoch]).permutation(
        n_documents
    )


def _config(study: Study) -> BaseModelConfig:
    if study.config.base_model is None:
        raise ValueError("the run has no base_model: name one in the configuration.")
    return study.config.base_model


def encode_documents(
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    path: Path,
    context_size: int,
) -> PromptBatch:
    """One BOS and the text of each document, right padded; what is too long is cut.

    Qwen's tokenizers have no BOS: there a document's own first token takes its role, which as the
    place that all others look to has a residual like no other.
    """
    bos = tokenizer.bos_token_id
    encoded = tokenizer([d.text for d in documents], add_special_tokens=False)["input_ids"]
    begin = [] if bos is None else [bos]
    rows = [[*begin, *ids][:context_size] for ids in encoded]
    for document, row in zip(documents, rows, strict=True):
        if bos is not None and row.count(bos) != 1:
            raise ValueError(
                f"{path}, line {document.line}: the text holds the BOS token "
                f"{tokenizer.bos_token!r} itself, expected plain text: remove it, one is added."
            )
    ids = torch.full((len(rows), max(map(len, rows))), _padding(tokenizer))
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    roles = torch.where(mask == 1, int(Role.QUESTION), int(Role.PAD))
    roles[:, 0] = Role.BOS
    return PromptBatch(ids, mask, roles)


def _padding(tokenizer: PreTrainedTokenizerBase) -> int:
    """What stands where nothing attends to it; many base models have no padding token."""
    known = (tokenizer.pad_token_id, tokenizer.bos_token_id)
    return next((token for token in known if token is not None), 0)
