"""Whether a run fits the device's memory, by the plan of its stages."""

from feature_atlas.etl.opening.disk import gigabytes
from feature_atlas.etl.opening.machine import Machine
from feature_atlas.etl.opening.memory_plan import StageMemory


def require_memory(plan: list[StageMemory], device: str, machine: Machine) -> str:
    """What the largest stage takes, in words; an error when a stage cannot fit.

    What gradients need is an estimate: a plan in which they alone are too large is said, and goes.
    """
    has = f"{device} has {gigabytes(machine.device_memory)}"
    too_large = [one for one in plan if one.total > machine.device_memory]
    for one in too_large:
        if "gradients" not in one.parts:
            raise ValueError(
                f"{one.stage} needs {gigabytes(one.total)} ({in_words(one)}), by arithmetic, and "
                f"{has}. Ask for less: batch_size, adapt.batch_size, harvest.layers_at_once, "
                "vlm.dtype."
            )
    largest = max(plan, key=lambda one: one.total)
    said = (
        f"at the most {gigabytes(largest.total)} in {largest.stage} ({in_words(largest)}), by "
        f"arithmetic; {has}"
    )
    if too_large:
        said += (
            ": that may not fit. head_attribution.samples_at_once decides it, and 1 is the least"
        )
    return said


def in_words(stage: StageMemory) -> str:
    """The parts of a stage with their sizes."""
    return ", ".join(f"{part} {gigabytes(size)}" for part, size in stage.parts.items())
