"""All layers and regimes trained in lockstep, against one after another: time, and the same result.

Random weights in the proportions of Llama 3.1 8B with Llama Scope's 8x dictionaries: 32 layers,
F = 8 d, so that a step of one dictionary costs a twelfth of a forward pass over the same tokens.
Alone, each dictionary has its own forward passes, which stop after its layer.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from clock import medians, print_ratios
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.dictionary.adapt import adapt, starting_point
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.regime_trainer import Adaptation, TrainingPlan
from feature_atlas.dictionary.sae import Sae
from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.residual_stream import freeze, residuals
from feature_atlas.vlm.token_roles import Role

REGIMES = ("text", "image", "full", "random")
N_LAYERS, D_MODEL, D_SAE, K = 32, 128, 1024, 50
LAYERS = (7, 15, 23, 31)
PLAN = TrainingPlan(
    n_tokens=2048, batch_size=256, learning_rate=3e-4, n_evaluations=2, buffer_size=512
)
N_PROMPTS, N_IMAGE, N_TEXT = 16, 40, 12
LOCKSTEP = "all layers and regimes in lockstep"

Decoders = dict[tuple[str, int], torch.Tensor]
"""By regime and layer."""


class World:
    """A language model, pictures as random embeddings, and dictionaries to start from."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=256,
            hidden_size=D_MODEL,
            intermediate_size=int(3.5 * D_MODEL),
            num_hidden_layers=N_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=1,
        )
        self.model = freeze(LlamaForCausalLM(config))
        roles = [Role.BOS, *[Role.IMAGE] * N_IMAGE, *[Role.QUESTION] * N_TEXT]
        self.roles = torch.tensor(roles).expand(N_PROMPTS, -1)

    def train(self, regimes: Sequence[str], layers: Sequence[int]) -> Decoders:
        """One stream of forward passes for all of these."""
        results = adapt(
            {r: {i: starting_point(r, _base(i), seed=i) for i in layers} for r in regimes},
            self._passes(layers, seed=1),
            held_out=next(self._passes(layers, seed=2)),
            plan=PLAN,
        )
        return _decoders(results)

    def _passes(self, layers: Sequence[int], seed: int) -> Iterator[Tokens]:
        random = torch.Generator().manual_seed(seed)
        while True:
            ids = torch.randint(256, self.roles.shape, generator=random)
            pictures = torch.randn(N_PROMPTS, N_IMAGE, D_MODEL, generator=random)
            yield self._tokens(ids, pictures, layers)

    @torch.no_grad()
    def _tokens(self, ids: torch.Tensor, pictures: torch.Tensor, layers: Sequence[int]) -> Tokens:
        """One forward pass in which random embeddings stand for the picture."""
        embeds = self.model.get_input_embeddings()(ids)
        embeds[self.roles == Role.IMAGE] = pictures.flatten(0, 1)
        found = residuals(self.model, DecoderInputs(embeds, torch.ones_like(ids)), layers)
        prompt = torch.arange(N_PROMPTS)[:, None].expand_as(ids)
        flat = {layer: x.flatten(0, 1) for layer, x in found.items()}
        return Tokens(flat, self.roles.flatten(), prompt.flatten())


def main() -> None:
    """Print the ratios, and how far the results are apart."""
    world, found = World(), dict[str, Decoders]()

    def recorded(name: str, run: Callable[[], Decoders]) -> Callable[[], None]:
        def timed() -> None:
            found[name] = run()

        return timed

    contenders = {
        LOCKSTEP: lambda: world.train(REGIMES, LAYERS),
        "one regime after another": lambda: _merged(world.train([r], LAYERS) for r in REGIMES),
        "one dictionary after another": lambda: _merged(
            world.train([regime], [layer]) for regime in REGIMES for layer in LAYERS
        ),
    }
    timed = {name: recorded(name, run) for name, run in contenders.items()}
    seconds = medians(timed, rounds=1)
    n = len(REGIMES) * len(LAYERS)
    print_ratios(f"{n} dictionaries, {PLAN.n_tokens} tokens each", seconds, LOCKSTEP)
    for name, trained in found.items():
        furthest = max(float((trained[key] - found[LOCKSTEP][key]).abs().max()) for key in trained)
        print(f"  {name}: decoders differ from lockstep by at most {furthest:g}")


def _base(layer: int) -> Sae:
    random = torch.Generator().manual_seed(layer)
    w_dec = torch.randn(D_SAE, D_MODEL, generator=random) / D_MODEL**0.5
    zeros = torch.zeros(D_SAE), torch.zeros(D_MODEL)
    return Sae(w_dec.T.contiguous(), zeros[0], w_dec, zeros[1], TopK(K), scale=1.0)


def _decoders(results: dict[str, Adaptation]) -> Decoders:
    return {
        (regime, layer): sae.w_dec
        for regime, result in results.items()
        for layer, sae in result.saes.items()
    }


def _merged(parts: Iterator[Decoders]) -> Decoders:
    return {key: decoder for part in parts for key, decoder in part.items()}


if __name__ == "__main__":
    main()
