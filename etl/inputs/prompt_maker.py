"""Questions and picture files made into prompts, and pictures into what the vision tower takes.

A prompt's tokens depend on its picture's size alone: they are those of a blank of that size. So a
picture is opened and prepared only where its features are not known yet, and always by itself:
nothing of it then depends on what else is in a batch.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_leaves
from transformers import ProcessorMixin

from feature_atlas.etl.inputs.newest import Newest
from feature_atlas.etl.inputs.pictures import Size, open_image
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

ANY_SIZE = Size(64, 64)
"""Of a blank, where size has no say."""
KEPT_BYTES = 2**27
"""Of all tokenised prompts that are remembered for the next layer or picture."""


class PictureFile(NamedTuple):
    """A picture as a prompt shows it."""

    file: Path
    size: Size | None = None
    """What it is brought to, where that decides how many tokens it has; None: it has no say."""

    def open(self) -> Image.Image:
        """Upright, in RGB, of its size."""
        picture = open_image(self.file)
        return picture if self.size is None else picture.resize(self.size)

    def blank(self) -> Image.Image:
        """Another with as many tokens."""
        return Image.new("RGB", self.size or ANY_SIZE)


class PromptJob(NamedTuple):
    """One batch that is to be made."""

    questions: tuple[str, ...]
    pictures: tuple[PictureFile, ...] | None
    """One for each question; None: asked without."""
    lacking: tuple[PictureFile, ...] = ()
    """Those whose features are not known."""
    with_pixels: bool = False
    """Whether the model's own forward is to run on the batch."""


class MadePrompts(NamedTuple):
    """What came of a job."""

    batch: PromptBatch
    """Without pixels, unless they were asked for."""
    lacking: Mapping[PictureFile, PromptBatch]
    """Each picture by itself, with pixels."""


class PromptMaker:
    """Makes prompts; needs no model, and so can work in a process of its own."""

    def __init__(self, processor: ProcessorMixin, suffix: str) -> None:
        self.processor, self.suffix = processor, suffix
        self.blanks = _PreparedOnce(processor.image_processor)
        self.kept: Newest[tuple[object, ...], PromptBatch] = Newest(KEPT_BYTES, _n_bytes)

    def __reduce__(self) -> tuple[type["PromptMaker"], tuple[ProcessorMixin, str]]:
        """Another process begins with nothing in mind."""
        return PromptMaker, (self.processor, self.suffix)

    def make(self, job: PromptJob) -> MadePrompts:
        """The prompts of one batch, or an error that names the picture."""
        lacking = {picture: self.alone(picture.open()) for picture in job.lacking}
        return MadePrompts(
            self._with_pixels(job) if job.with_pixels else self._tokens(job), lacking
        )

    def alone(self, picture: Image.Image) -> PromptBatch:
        """A prompt about a picture that is only looked at."""
        return encode_prompts(self.processor, ["?"], [picture])

    def _with_pixels(self, job: PromptJob) -> PromptBatch:
        shown = None if job.pictures is None else [picture.open() for picture in job.pictures]
        return encode_prompts(self.processor, job.questions, shown, suffix=self.suffix)

    def _tokens(self, job: PromptJob) -> PromptBatch:
        """The same without pixels; the newest are remembered."""
        sizes = None if job.pictures is None else tuple(picture.size for picture in job.pictures)
        batch = self.kept.take((job.questions, sizes))
        if batch is None:
            batch = self.tokenised(job)
            self.kept.keep((job.questions, sizes), batch)
        return batch

    def tokenised(self, job: PromptJob) -> PromptBatch:
        """The prompts of one batch, whose pictures nobody looks at."""
        blanks = None if job.pictures is None else [picture.blank() for picture in job.pictures]
        own = self.processor.image_processor
        self.processor.image_processor = self.blanks
        try:
            batch = encode_prompts(self.processor, job.questions, blanks, suffix=self.suffix)
        finally:
            self.processor.image_processor = own
        others = {n: t for n, t in batch.processed.items() if not n.startswith("pixel_")}
        return batch._replace(processed=others)


class _PreparedOnce:
    """An image processor that knows what became of the last blanks of the same sizes."""

    def __init__(self, own: Any) -> None:
        self.own, self.last = own, dict[tuple[Size, ...], Any]()

    def __call__(self, images: Any, **settings: Any) -> Any:
        sizes = tuple(blank.size for blank in tree_leaves(images))
        if sizes not in self.last:
            self.last = {sizes: self.own(images, **settings)}
        return copy.copy(self.last[sizes])  # processors take out what they need themselves

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


def _n_bytes(batch: PromptBatch) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))
