"""Where the trained networks of the tiny world lie: they ship with the package."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def language_model_path() -> Path:
    """A LlamaForCausalLM that knows scenes as text only, with its tokenizer."""
    return WEIGHTS / "language_model"


def training_record() -> Path:
    """What training measured: answers by kind of question, and each SAE's quality."""
    return WEIGHTS / "training.json"


def vlm_path() -> Path:
    """A LlavaForConditionalGeneration fine-tuned from it, with its processor."""
    return WEIGHTS / "vlm"


def sae_path(layer: int) -> Path:
    """The base SAE on the language model's residual after a layer, in SAELens format."""
    return WEIGHTS / "saes" / f"layer_{layer}"
