"""What the text model gets of each picture, computed once a run as far as there is room (3.1).

Every picture goes through the vision tower by itself, so that its features are the same bit for
bit whichever batch it stands in, read from the shelf or computed again.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from PIL import Image

from feature_atlas.etl.inputs.checkpoints import Vlm
from feature_atlas.etl.inputs.feature_store import FeatureStore, Levels
from feature_atlas.etl.inputs.prompt_maker import PictureFile, PromptMaker
from feature_atlas.etl.run_folder.artifacts import file_sha256
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.token_roles import PromptBatch


class PictureShelf:
    """The features of a model's pictures."""

    def __init__(self, vlm: Vlm, maker: PromptMaker, store: FeatureStore) -> None:
        self.model, self.maker, self.store = vlm.model, maker, store

    @cached_property
    def example(self) -> ImageFeatures:
        """Of a blank: how the model's family shapes features."""
        return self._computed(self.maker.alone(Image.new("RGB", (336, 336))))

    def lacking(self, pictures: Sequence[PictureFile]) -> tuple[PictureFile, ...]:
        """Those whose features are to be computed, each once."""
        return tuple(p for p in dict.fromkeys(pictures) if not self._is_known(p))

    def _is_known(self, picture: PictureFile) -> bool:
        """Not a file that is missing: whoever opens it says so."""
        return picture.file.is_file() and _key(picture) in self.store

    def features(
        self, pictures: Sequence[PictureFile], prepared: Mapping[PictureFile, PromptBatch]
    ) -> ImageFeatures:
        """Of a batch's pictures, on the model's device; ``prepared`` are those that lacked."""
        found = {picture: self._levels(picture, prepared) for picture in dict.fromkeys(pictures)}
        of_each = [found[picture] for picture in pictures]
        rows = [torch.cat(level) for level in zip(*of_each, strict=True)]
        return self.example.of_others(rows, [len(levels[0]) for levels in of_each])

    def _levels(self, picture: PictureFile, prepared: Mapping[PictureFile, PromptBatch]) -> Levels:
        known = self.store.find(_key(picture))
        if known is not None:
            return tuple(level.to(self.model.device) for level in known)
        alone = prepared.get(picture) or self.maker.alone(picture.open())  # the shelf was cleared
        levels = self._computed(alone).levels
        self.store.add(_key(picture), tuple(level.cpu() for level in levels))
        return levels

    @torch.no_grad()
    def _computed(self, alone: PromptBatch) -> ImageFeatures:
        return image_features(self.model, alone.to(self.model.device))


def _key(picture: PictureFile) -> str:
    size = "" if picture.size is None else f"-{picture.size.width}x{picture.size.height}"
    return file_sha256(picture.file) + size
