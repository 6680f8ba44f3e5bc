"""Questions and picture files made into prompts: opened, brought to size, processed (paper 3.1)."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image
from transformers import ProcessorMixin

from feature_atlas.etl.inputs.pictures import Size, open_image
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts


class PictureFile(NamedTuple):
    """A picture as a prompt shows it."""

    file: Path
    size: Size | None = None
    """What it is brought to; None: it stays as it is."""

    def open(self) -> Image.Image:
        """Upright, in RGB, of its size."""
        picture = open_image(self.file)
        return picture if self.size is None else picture.resize(self.size)


class PromptJob(NamedTuple):
    """One batch that is to be made."""

    questions: tuple[str, ...]
    pictures: tuple[PictureFile, ...] | None
    """One for each question; None: asked without."""


class PromptMaker:
    """Makes batches; needs no model, and so can work in a process of its own."""

    def __init__(self, processor: ProcessorMixin, suffix: str) -> None:
        self.processor, self.suffix = processor, suffix

    def make(self, job: PromptJob) -> PromptBatch:
        """The prompts of one batch, or an error that names the picture."""
        shown = None if job.pictures is None else [picture.open() for picture in job.pictures]
        return encode_prompts(self.processor, job.questions, shown, suffix=self.suffix)
