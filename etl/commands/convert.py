"""`feature-atlas convert ...`: checkpoints of other layouts as folders that transformers loads."""

from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.terminal import console, plain_errors

convert = typer.Typer(
    help="Write a checkpoint of another layout as a folder that can be built.", no_args_is_help=True
)


@convert.callback()
def main() -> None:
    """Keeps `llava` a command of its own while it is the only one."""


@convert.command()
def llava(
    source: Annotated[
        Path, typer.Argument(help="folder of a LLaVA or LLaVA-MORE checkpoint as released")
    ],
    target: Annotated[Path, typer.Argument(help="folder to make; vlm.path of a configuration")],
    vision_tower: Annotated[
        str | None,
        typer.Option(
            help="folder or hub id of the CLIP or SigLIP tower, if not as its config.json"
        ),
    ] = None,
) -> None:
    """Convert the original LLaVA layout (llava_llama, llava_gemma, llava_phi) to transformers'.

    Every tensor is accounted for before anything is written. Memory for one file is enough.
    """
    with plain_errors():
        from feature_atlas.etl.bridges.export_target import new_folder
        from feature_atlas.etl.inputs.llava_original.conversion import (
            plan_conversion,
            write_conversion,
        )
        from feature_atlas.etl.warehouse.progress import bars

        conversion = plan_conversion(source, vision_tower)
        with new_folder(target) as folder, bars(console) as progress:
            write_conversion(conversion, folder, progress)
        tokenizer = conversion.processor.tokenizer
        console.print(
            f"{target}: {len(conversion.tensors):,} tensors of {source}; image token "
            f"{conversion.processor.image_token}, padding {tokenizer.pad_token}",
            highlight=False,
            markup=False,
        )
        for remark in conversion.remarks:
            console.print(f"note: {remark}", highlight=False, markup=False)
