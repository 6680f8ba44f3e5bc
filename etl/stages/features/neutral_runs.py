"""Neutral prompts about some pictures, each with the model's reply, on three images (paper 4.3).

Part of the stage `neutral_prompt`: the picture itself, the mean image, and another picture, under
the same words. What a family's text model remembers of a picture serves all prompts about it
(`prompt_keys`); where it cannot, prompts run whole.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.shards import batched
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.study import Study
from feature_atlas.features.neutral_prompt import shuffled_samples
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.image_features import MeanImage, image_features
from feature_atlas.vlm.prompt_keys import PromptKeys, prompt_keys
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role

ASKED_AND_SAID = (*TEXT_ROLES, Role.ANSWER)
KEYS_SHARE = 0.35
"""Of a device's memory beside the model, for keys of pictures and those in their place; half as
much is needed again for what they reply, and then for their residuals."""


class Pictures(NamedTuple):
    """Pictures that are asked about, and the other picture that stands in for each."""

    own: list[Sample]
    """Any sample with the picture: its question is not asked."""
    others: list[Sample]
    """One with the other picture."""

    @classmethod
    def of(cls, study: Study, numbers: Sequence[int]) -> "Pictures":
        """By their numbers. The other picture is the same in whatever prompt and batch."""
        base, images = study.samples[BASE], study.image_numbers[BASE]
        other = shuffled_samples(images, study.config.seed)
        rows = [int((images == number).int().argmax()) for number in numbers]
        return cls([base[row] for row in rows], [base[int(other[row])] for row in rows])

    def at(self, places: Sequence[int]) -> "Pictures":
        """Some of them."""
        return Pictures([self.own[p] for p in places], [self.others[p] for p in places])


class OneRun(NamedTuple):
    """One prompt about some pictures, on one of the three images."""

    prompt: int
    """Its number."""
    image: int
    """0: the picture itself; 1: the mean image; 2: the other picture."""
    places: list[int]
    """Of the pictures; the tokens' `prompt` counts these."""
    tokens: Tokens
    """What was asked and said."""


class ThreeKeys(NamedTuple):
    """What the text model remembers of some pictures."""

    own: PromptKeys
    mean: PromptKeys
    """Of one prompt: the mean image is the same for all."""
    others: PromptKeys

    @property
    def n_bytes(self) -> int:
        """Memory of all of them."""
        return sum(keys.n_bytes for keys in self)


@torch.no_grad()
def neutral_runs(
    study: Study,
    prompts: Sequence[str],
    pictures: Pictures,
    asked: Bool[Tensor, "prompt picture"],
) -> Iterator[OneRun]:
    """Everything that is asked, a few pictures at once."""
    numbers = asked.any(1).nonzero().flatten().tolist()
    alone = {n: _prompt(study, prompts[n], pictures.own[:1]) for n in numbers}
    for places, keys in _remembered(study, prompts[numbers[0]], pictures):
        for number in numbers:
            rows = [row for row, place in enumerate(places) if asked[number, place]]
            here = [places[row] for row in rows]
            batch = None if keys is None else keys.own.followed_by(alone[number])
            if keys is None or batch is None:
                for few in batched(here, study.batch_size):
                    runs = _whole(study, prompts[number], pictures.at(few))
                    yield from _named(number, few, runs)
            elif here:
                of_rows = torch.tensor(rows, device=study.config.device)
                yield from _named(number, here, _after(study, keys, batch, of_rows))
        keys = None  # makes room for the next ones


def _named(number: int, places: list[int], runs: Iterator[Tokens]) -> Iterator[OneRun]:
    for image, tokens in enumerate(runs):
        yield OneRun(number, image, places, tokens.only(ASKED_AND_SAID))


def _remembered(
    study: Study, question: str, pictures: Pictures
) -> Iterator[tuple[list[int], ThreeKeys | None]]:
    """Places of pictures, as many as fit on the device, and their keys if they can be shared."""
    room, gathered = _room(study), list[tuple[list[int], ThreeKeys]]()
    mean = _prompt(study, question, pictures.own[:1], study.mean_image)
    for places, batch, other in _both(study, question, pictures):
        keys = _keys(study, batch, mean, other)
        if gathered and (keys is None or not torch.equal(gathered[0][1].own.ids, keys.own.ids)):
            yield _joined(gathered)
        if keys is None:
            yield places, None
            continue
        gathered.append((places, keys))
        if sum(kept.n_bytes for _, kept in gathered) + keys.n_bytes > room:
            yield _joined(gathered)
    if gathered:
        yield _joined(gathered)


def _joined(gathered: list[tuple[list[int], ThreeKeys]]) -> tuple[list[int], ThreeKeys]:
    """All that was gathered, and none of it any more."""
    places = [place for some, _ in gathered for place in some]
    own, others = [keys.own for _, keys in gathered], [keys.others for _, keys in gathered]
    mean = gathered[0][1].mean
    gathered.clear()
    return places, ThreeKeys(PromptKeys.joined(own), mean, PromptKeys.joined(others))


def _room(study: Study) -> float:
    """Bytes for keys; in main memory nothing is won by more than a batch of pictures.

    By what the device has, not by what is free: on one kind of device batches are the same, and so
    is rounding.
    """
    if not study.config.device.startswith("cuda"):
        return 0.0
    has = torch.cuda.get_device_properties(torch.device(study.config.device)).total_memory
    weights = sum(weight.nbytes for weight in study.vlm.model.parameters())
    return KEYS_SHARE * (has - weights)


def _keys(
    study: Study, batch: PromptBatch, mean: PromptBatch, other: PromptBatch
) -> ThreeKeys | None:
    """Of the pictures of a batch, of the mean image, and of those in their place."""
    own, of_mean, others = (prompt_keys(study.vlm.model, each) for each in (batch, mean, other))
    if own is None or of_mean is None or others is None:
        return None
    is_alike = torch.equal(own.ids, of_mean.ids) and torch.equal(own.ids, others.ids)
    return ThreeKeys(own, of_mean, others) if is_alike else None


def _after(
    study: Study, keys: ThreeKeys, batch: PromptBatch, rows: Int[Tensor, " row"]
) -> Iterator[Tokens]:
    """Prompt and reply behind the pictures of some rows."""
    model, layers = study.vlm.model, study.layers
    own = keys.own.of(rows)
    asked = PromptBatch(*(tensor[rows] for tensor in batch[:3]))
    said = with_reply(model, asked, study.config.neutral.n_reply_tokens, own)
    yield harvest(model, said, layers, keys=own)
    yield harvest(model, said, layers, keys=keys.mean.of(torch.zeros_like(rows)))
    yield harvest(model, said, layers, keys=keys.others.of(rows))


def _whole(study: Study, prompt: str, pictures: Pictures) -> Iterator[Tokens]:
    """The same from the first token on."""
    model, layers = study.vlm.model, study.layers
    ((_, batch, other),) = _both(study, prompt, pictures)
    said = with_reply(model, batch, study.config.neutral.n_reply_tokens)
    own = image_features(model, batch)
    mean = study.mean_image.in_place_of(own, batch)
    for image in (own, mean, image_features(model, other)):
        yield harvest(model, said, layers, image=image)


def _both(
    study: Study, prompt: str, pictures: Pictures
) -> Iterator[tuple[list[int], PromptBatch, PromptBatch]]:
    """Batches of places, of the prompt about their pictures, and about those in their place."""
    questions = [prompt] * len(pictures.own)
    own = study.prompts(pictures.own, questions=questions)
    others = study.prompts(pictures.others, questions=questions, sized_like=pictures.own)
    for (batch, places), (other, _) in zip(own, others, strict=True):
        yield places, batch, other


def _prompt(
    study: Study, prompt: str, sample: Sequence[Sample], image: MeanImage | None = None
) -> PromptBatch:
    """About one picture alone, or about what stands in its place."""
    ((batch, _),) = study.prompts(sample, questions=[prompt], image=image)
    return batch
