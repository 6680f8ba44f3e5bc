"""Whether a run fits the device's memory, by arithmetic from sizes."""

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import Arithmetic, Work
from feature_atlas.etl.opening.disk import gigabytes
from feature_atlas.etl.opening.machine import Machine
from feature_atlas.etl.opening.sizes import Sizes


def require_memory(config: RunConfig, sizes: Sizes, work: list[Work], machine: Machine) -> str:
    """What the largest stage takes, in words; an error when weights and trainings cannot fit.

    Activations come on top: they are not counted, but for the gradients of attribution.
    """
    resident = Arithmetic(config, sizes).resident
    largest = max(work, key=lambda one: one.memory)
    kept = Arithmetic(config, sizes).dictionaries
    has = f"{config.device} has {gigabytes(machine.device_memory)}"
    if kept > machine.main_memory:
        raise ValueError(
            f"the base dictionaries need {gigabytes(kept)} of main memory, by arithmetic, and this "
            f"machine has {gigabytes(machine.main_memory)}: study fewer layers (sae.layers)."
        )
    said = (
        f"the model {gigabytes(resident)}, {largest.stage} beside it "
        f"{gigabytes(largest.memory)} by arithmetic, without activations; {has}"
    )
    for one in work:
        is_certain = one.stage.startswith(("adapt", "harvest", "gate"))
        if is_certain and resident + one.memory > machine.device_memory:
            raise ValueError(
                f"{one.stage} needs {gigabytes(resident + one.memory)} for weights, dictionaries "
                f"and what trains them, by arithmetic and without activations, and {has}. Ask for "
                "less: adapt.batch_size, sae.layers, vlm.dtype."
            )
    if resident + largest.memory > machine.device_memory:
        said += (
            ": that may not fit. head_attribution.samples_at_once decides it, and 1 is the least"
        )
    return said
