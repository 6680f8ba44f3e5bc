"""Processors of pictures and text, whatever else their class can do."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoProcessor, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from feature_atlas.ablation.yes_no import yes_no_ids
from feature_atlas.vlm.chat_template import require_assistant_header
from feature_atlas.vlm.processor_call import require_processor


def read_processor(folder: Path) -> ProcessorMixin:
    """The processor beside a model, checked.

    Pictures are always prepared by Pillow: another back end differs in the last bits.
    """
    known = PROCESSOR_MAPPING.get(type(AutoConfig.from_pretrained(folder)), None)
    loader = AutoProcessor if known is None else pictures_only(known)
    try:
        processor = loader.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except (ImportError, OSError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{folder} has no processor that transformers loads ({str(error).strip()}): copy the "
            "files of tokenizer and processor beside the weights, or install what it asks for."
        ) from error
    require_processor(processor)
    require_assistant_header(processor)
    yes_no_ids(processor.tokenizer)  # removals are scored by these answers
    return processor


@lru_cache(maxsize=32)
def pictures_only(cls: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The class without its video half, which needs packages that pictures do not."""
    kept = [name for name in cls.get_attributes() if name != "video_processor"]
    if kept == cls.get_attributes():
        return cls

    class PicturesOnly(cls):  # type: ignore[misc,valid-type]  # a class that is known at run time
        @classmethod
        def get_attributes(cls: Any) -> list[str]:
            return kept

        @classmethod
        def from_args_and_dict(cls: Any, *given: Any, **settings: Any) -> Any:
            return super().from_args_and_dict(*given, **settings, video_processor=None)

        def __reduce__(self) -> tuple[Any, ...]:
            return _without_parts, (cls,), vars(self)

    PicturesOnly.__name__ = cls.__name__
    return PicturesOnly


def _without_parts(cls: Any) -> Any:
    """For another process, which makes the class anew."""
    half: Any = pictures_only(cls)
    return object.__new__(half)
