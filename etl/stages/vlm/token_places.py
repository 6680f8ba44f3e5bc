"""Where the image tokens of the run's pictures lie (paper 5.2, C.2)."""

from functools import lru_cache

from feature_atlas.etl.study import Study
from feature_atlas.vlm.token_grid import TokenGrid, token_grid


@lru_cache(maxsize=1024)
def tokens_of(study: Study, size: tuple[int, int]) -> TokenGrid:
    """Where the image tokens of a picture (width, height) lie; measured once for each size."""
    return token_grid(study.vlm.model, study.vlm.processor, *size)
