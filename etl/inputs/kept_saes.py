"""The base dictionaries of a run: in main memory, and each on the device while it is used."""

from collections.abc import Iterator, Mapping

from feature_atlas.dictionary.sae import Sae


class KeptSaes(Mapping[int, Sae]):
    """By layer. All of them on the device would leave no room there for what is trained."""

    def __init__(self, kept: Mapping[int, Sae], device: str) -> None:
        self.kept, self.device = kept, device

    def __getitem__(self, layer: int) -> Sae:
        return self.kept[layer].to(self.device)

    def __iter__(self) -> Iterator[int]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)
