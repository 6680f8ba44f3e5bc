"""The samples on which heads are looked at, under each corruption (paper 5.2, C).

Top questions of VQAv2. Where the picture is to be one with the opposite answer, those for which
there is one, and then top statements of VSR; the others are passed over, and counted.
"""

from collections.abc import Iterable, Sequence

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.run_folder.artifacts import Warnings
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.top_samples import top_samples
from feature_atlas.etl.stages.heads.opposite_picture import HOW, opposite
from feature_atlas.etl.study import Study


def corrupted_samples(study: Study, feature: Feature, corruption: Corruption, n: int) -> list[int]:
    """Local numbers of at most n top samples that can be corrupted so.

    Of two stages that ask for different numbers one has the first of the other's.
    """
    return with_other_picture(study, corruption, looked_at(study, feature, corruption))[:n]


def with_other_picture(study: Study, corruption: Corruption, numbers: Sequence[int]) -> list[int]:
    """Those samples for which there is something to put in the picture's place."""
    if corruption != "opposite":
        return list(numbers)
    return [number for number in numbers if opposite(study, number) is not None]


def warn_of_opposites(said: Warnings, study: Study, numbers: Iterable[int]) -> None:
    """How the pictures of some samples were found, and how many samples have none."""
    found = [opposite(study, number) for number in sorted(set(numbers))]
    n_of = {how: sum(one is not None and one.how == how for one in found) for how in HOW}
    counted = ", ".join(f"{n} by {how}" for how, n in n_of.items() if n)
    said.warn(
        f"corruption opposite: {found.count(None)} of {len(found)} samples have no picture with "
        f"the opposite answer and were passed over; the others have it {counted or 'not either'}"
    )


def looked_at(study: Study, feature: Feature, corruption: Corruption) -> list[int]:
    """Those that are asked for another picture."""
    n = max(study.config.head_attribution.n_samples, study.config.exact_patch.n_samples)
    numbers = top_samples(study, feature, "vqav2", n)
    if corruption == "opposite":
        numbers = [*numbers, *top_samples(study, feature, "vsr", n)]
    return numbers


def named(corruption: Corruption) -> str:
    """For the end of a warning, where it is about one that is not the paper's."""
    return "" if corruption == "mean" else f" under corruption {corruption}"
