"""A small but complete run folder of made-up numbers, for tests of loading and of dashboards.

Two layers of 64 features; every table has rows. The first features of each layer are adapted,
the first of those spatial, and feature 0 of each layer loses accuracy when it is removed.
"""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Columns = dict[str, Any]

RELATIONS = ("left of", "right of", "above", "below")
N_IMAGES, N_SAMPLES = 6, 24  # samples 0..11 are VQA, 12..23 VSR
N_ADAPTED, N_CANDIDATES, N_SURVIVORS = 16, 6, 4  # per layer, the first features


def write_run_folder(
    folder: Path,
    *,
    seed: int = 0,
    layers: tuple[int, ...] = (0, 1),
    d_sae: int = 64,
    name: str = "synthetic",
) -> Path:
    """Write the folder and return it. Another seed is another run of the same name."""
    world = World(seed, layers, d_sae)
    config = {"name": name, "seed": seed, "layers": list(layers)}
    config_hash = sha256(json.dumps(config).encode())
    folder = folder / f"{name}-{config_hash[:8]}"
    manifest: dict[str, Any] = {
        "format": 1,
        "slug": folder.name,
        "config": config,
        "config_hash": config_hash,
        "code_version": "0123456789abcdef",
        "dirty": False,
        "vlm": {
            "name": "tiny-llava",
            "revision": None,
            "fingerprint": "f0",
            "architecture": "LlavaForConditionalGeneration",
            "n_layers": len(layers),
            "d_model": 16,
            "n_heads": 4,
            "n_kv_heads": 2,
            "base_name": "tiny-llama",
            "base_fingerprint": None,
        },
        "sae_set": {
            "name": "tiny-scope",
            "release": "tiny-scope",
            "fingerprint": "f1",
            "gate": "topk",
            "k": 8,
            "d_sae": d_sae,
            "d_model": 16,
            "hook_site": "resid_post",
            "layers": list(layers),
            "activation_scale": [4.0] * len(layers),
        },
        "datasets": [
            {"key": 0, "name": "vqav2-val", "kind": "vqav2", "split": "val"},
            {"key": 1, "name": "vsr-test", "kind": "vsr", "split": "test"},
        ],
        "measurements": [],
        "files": [],
    }
    for dataset in manifest["datasets"]:
        dataset |= {"fingerprint": f"data-{dataset['key']}", "n_samples": N_SAMPLES // 2}
    started = datetime(2026, 11, 22, 12, tzinfo=UTC)
    for number, (stage, tables) in enumerate(world.stages().items()):
        begin = started + timedelta(seconds=10 * number)
        manifest["measurements"].append(
            {
                "stage": stage,
                "params": {"number": number},
                "params_hash": sha256(str(number).encode()),
                "input_fingerprint": f"inputs-of-{stage}",
                "seeds": [seed],
                "device": "cpu",
                "libraries": {"numpy": np.__version__},
                "started_at": begin.isoformat(),
                "finished_at": (begin + timedelta(seconds=9)).isoformat(),
            }
        )
        (folder / stage).mkdir(parents=True, exist_ok=True)
        for table, columns in tables.items():
            path = folder / stage / f"{table}.0.parquet"
            pq.write_table(pa.table(columns), path, row_group_size=65_536)
            manifest["files"].append(
                {"path": f"{stage}/{path.name}", "table": table, "stage": stage}
            )
    other = folder / "adapt" / "note.txt"  # stages also leave files that are no table
    other.parent.mkdir(exist_ok=True)
    other.write_text("an SAE would lie here")
    manifest["files"].append({"path": "adapt/note.txt", "stage": "adapt"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    """Make the manifest agree with the files, as if the stage had written them so."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        path = folder / entry["path"]
        content = path.read_bytes()
        entry |= {"bytes": len(content), "sha256": sha256(content)}
        if "table" in entry:
            try:
                found = pq.ParquetFile(path)
            except pa.ArrowInvalid:
                continue  # a test broke the file on purpose
            entry["rows"] = found.metadata.num_rows
            entry["columns"] = {field.name: str(field.type) for field in found.schema_arrow}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def table_file(folder: Path, table: str) -> Path:
    """The one file of a table."""
    return next(folder.glob(f"*/{table}.0.parquet"))


def read_rows(folder: Path, table: str) -> pa.Table:
    """What the folder holds of a table."""
    return pq.read_table(table_file(folder, table))


def replace_rows(folder: Path, table: str, rows: pa.Table) -> Path:
    """Other rows for a table, with a manifest that agrees. Returns the file."""
    path = table_file(folder, table)
    pq.write_table(rows, path)
    seal(folder)
    return path


def replace_value(folder: Path, table: str, column: str, row: int, value: Any) -> Path:
    """Another value in one cell, with a manifest that agrees. Returns the file."""
    rows = read_rows(folder, table)
    values = rows[column].to_pylist()
    values[row] = value
    position = rows.column_names.index(column)
    changed = pa.array(values, rows.schema.field(column).type)
    return replace_rows(folder, table, rows.set_column(position, column, changed))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class World:
    """Made-up numbers that keep the rules of the schema."""

    def __init__(self, seed: int, layers: tuple[int, ...], d_sae: int) -> None:
        self.random = np.random.default_rng(seed)
        self.layers, self.d_sae = layers, d_sae
        self.n = len(layers) * d_sae
        self.layer = np.repeat(np.array(layers, np.int16), d_sae)
        self.feature = np.tile(np.arange(d_sae, dtype=np.int32), len(layers))
        self.is_adapted = self.feature < N_ADAPTED
        self.is_candidate = self.feature < N_CANDIDATES
        self.survives = self.feature < N_SURVIVORS

    def stages(self) -> dict[str, dict[str, Columns]]:
        """Tables by stage, in the order of the pipeline."""
        return {
            "samples": {"image": self.image(), "sample": self.sample()},
            "adapt": {"training_curve": self.training_curve()},
            "decoder_cosine": {"decoder_cosine": self.decoder_cosine()},
            "visual_energy": {"visual_energy": self.visual_energy()},
            "selection": {"selection": self.selection()},
            "firing_shift": {"firing_shift": self.firing_shift()},
            "neutral_prompt": {
                "candidate": self.candidate(),
                "neutral_prompt": self.neutral_prompt(),
            },
            "example": {"example": self.example()},
            "auto_interp": {"auto_interp": self.auto_interp()},
            "head_attribution": {"head_attribution": self.head_attribution()},
            "overlay": {"overlay": self.overlay()},
            "ablation": {
                "ablation": self.ablation(),
                "ablation_outcome": self.ablation_outcome(),
            },
        }

    def keys(self, repeat: int = 1) -> Columns:
        """Layer and feature of every feature, several times over."""
        return {"layer": np.tile(self.layer, repeat), "feature": np.tile(self.feature, repeat)}

    def share(self, n: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Random numbers in a range, single precision."""
        return self.random.uniform(low, high, n).astype(np.float32)

    def image(self) -> Columns:
        thumbnails = []
        for number in range(N_IMAGES):
            colour = tuple(int(part) for part in self.random.integers(0, 255, 3))
            picture, stored = Image.new("RGB", (48, 48 + number), colour), io.BytesIO()
            picture.save(stored, "PNG")
            thumbnails.append(stored.getvalue())
        return {
            "image": np.arange(N_IMAGES, dtype=np.int64),
            # hash of the number, not of the random colour: runs of all seeds share the images
            "sha256": [sha256(str(number).encode()) for number in range(N_IMAGES)],
            "width": np.full(N_IMAGES, 48, np.int32),
            "height": np.arange(48, 48 + N_IMAGES, dtype=np.int32),
            "uri": [f"images/{number}.png" for number in range(N_IMAGES)],
            "thumbnail": thumbnails,
        }

    def sample(self) -> Columns:
        number = np.arange(N_SAMPLES, dtype=np.int64)
        half = N_SAMPLES // 2
        is_vsr = number >= half
        relation = [RELATIONS[i % len(RELATIONS)] for i in number]
        return {
            "sample": number,
            "image": number % N_IMAGES,
            "dataset": is_vsr.astype(np.int32),
            "external_id": [f"question-{i}" for i in number],
            "question": [
                f"The circle is {relation[i]} the square."
                if is_vsr[i]
                else f"Is the circle {relation[i]} the square?"
                for i in number
            ],
            "answer": ["yes" if i % 2 else "no" for i in number],
            "question_type": [None if is_vsr[i] else "is the" for i in number],
            "answer_type": [None if is_vsr[i] else "yes/no" for i in number],
            "relation": relation,
            "truth": [json.dumps({"objects": ["circle", "square"], "é": None})] * N_SAMPLES,
        }

    def training_curve(self) -> Columns:
        regimes, steps = ("text", "image", "full"), (0, 1000, 2000)
        grid = [(r, layer, s) for r in regimes for layer in self.layers for s in steps]
        n = len(grid)
        return {
            "regime": [r for r, _, _ in grid],
            "layer": np.array([layer for _, layer, _ in grid], np.int16),
            "tokens_seen": np.array([s for _, _, s in grid], np.int64),
            "fvu": np.array([0.9 * 0.5 ** (s / 1000) for _, _, s in grid], np.float32),
            "l0": self.share(n, 6, 8),
            "n_tokens": np.full(n, 4096, np.int64),
            "learning_rate": np.full(n, 3e-4, np.float32),
        }

    def decoder_cosine(self) -> Columns:
        regimes, n = ("text", "image", "full", "random"), 4 * self.n
        text = np.where(self.is_adapted, self.share(self.n, 0, 0.6), self.share(self.n, 0.8, 1))
        return {
            "regime": np.repeat(regimes, self.n).tolist(),
            **self.keys(4),
            "cosine": np.concatenate([text, self.share(3 * self.n, -1, 1)]).astype(np.float32),
            "encoder_cosine": self.share(n, -1, 1),
            "base_norm": self.share(n, 0.5, 2),
            "adapted_norm": self.share(n, 0.5, 2),
            "best_base_feature": self.random.integers(0, self.d_sae, n, dtype=np.int32),
            "best_base_cosine": self.share(n, 0, 1),
            "n_firings": self.random.integers(0, 10_000, n),
        }

    def visual_energy(self) -> Columns:
        fired = self.random.integers(0, 5000, self.n)
        question = np.where(self.is_adapted, self.share(self.n, 0.1, 9), 0).astype(np.float32)
        return {
            **self.keys(),
            "energy_image": self.share(self.n, 0, 50),
            "energy_question": question,
            "energy_question_mean_image": question / 2,
            "energy_question_no_image": question / 4,
            "energy_prefix": self.share(self.n, 0, 2),
            "fired_image": fired * 3,
            "fired_question": fired,
            "fired_question_mean_image": fired // 2,
            "fired_question_no_image": fired // 3,
            "modality_preference": self.share(self.n, -3, 3),
            "firing_rate": (fired / 5000).astype(np.float32),
        }

    def selection(self) -> Columns:
        return {
            **self.keys(),
            "is_adapted": self.is_adapted,
            "cosine_rank": np.where(self.is_adapted, 0.1, 0.7).astype(np.float32),
        }

    def firing_shift(self) -> Columns:
        skills, n = ("spatial", "ocr", "vsr"), 3 * self.n
        fired = self.random.integers(0, 400, n)
        odds = self.share(n, 0.2, 2)
        candidate = np.concatenate([self.is_candidate, self.feature == 9, self.is_candidate])
        odds[candidate] *= 5
        return {
            "skill": np.repeat(skills, self.n).tolist(),
            **self.keys(3),
            "fired_skill": fired,
            "tokens_skill": np.full(n, 400),
            "fired_base": fired // 2,
            "tokens_base": np.full(n, 900),
            "questions_fired_skill": fired // 10,
            "questions_skill": np.full(n, 40),
            "questions_fired_base": fired // 20,
            "questions_base": np.full(n, 90),
            "delta_p": (fired / 400 - (fired // 2) / 900).astype(np.float32),
            "odds_ratio": odds,
            "odds_ratio_low": odds / 2,
            "odds_ratio_high": odds * 2,
            "p_value": self.random.uniform(0, 1, n) ** 40,
            "q_value": self.random.uniform(0, 1, n),
            "question_delta_p": self.share(n, -1, 1),
            "question_odds_ratio": odds,
            "question_odds_ratio_low": odds / 3,
            "question_odds_ratio_high": odds * 3,
            "has_zero_cell": fired == 0,
            "is_candidate": candidate,
        }

    def candidate(self) -> Columns:
        chosen = self.is_candidate
        n = int(chosen.sum())
        return {
            "skill": ["spatial"] * n,
            "layer": self.layer[chosen],
            "feature": self.feature[chosen],
            "survives": self.survives[chosen],
            "n_samples": np.full(n, 30, np.int32),
            "n_fired": np.where(self.survives[chosen], 20, 1).astype(np.int32),
            "n_fired_mean_image": np.ones(n, np.int32),
        }

    def neutral_prompt(self) -> Columns:
        chosen, prompts = self.is_candidate, ("Describe the picture.", "What is shown?")
        n = int(chosen.sum())
        return {
            "skill": ["spatial"] * 2 * n,
            "layer": np.tile(self.layer[chosen], 2),
            "feature": np.tile(self.feature[chosen], 2),
            "prompt_no": np.repeat(np.arange(2, dtype=np.int16), n),
            "prompt": np.repeat(prompts, n).tolist(),
            "n_samples": np.full(2 * n, 15, np.int32),
            "n_fired": np.full(2 * n, 10, np.int32),
            "n_fired_mean_image": np.full(2 * n, 1, np.int32),
            "mean_activation": self.share(2 * n, 0, 4),
        }

    def example(self) -> Columns:
        chosen = np.flatnonzero(self.is_candidate)
        tokens = ["Is", "the", "circle", 'left"of', "the\\square", "?", "{é}"]
        half = N_SAMPLES // 2
        grid = [(i, s, rank) for i in chosen for s in (0, 1) for rank in range(3)]
        return {
            "layer": self.layer[[i for i, _, _ in grid]],
            "feature": self.feature[[i for i, _, _ in grid]],
            "source": [("vqav2", "vsr")[s] for _, s, _ in grid],
            "rank": np.array([rank for _, _, rank in grid], np.int16),
            "sample": np.array([s * half + (i + rank) % half for i, s, rank in grid]),
            "max_activation": np.array([9 - rank for _, _, rank in grid], np.float32),
            "max_token": np.full(len(grid), 3, np.int16),
            "tokens": [tokens for _ in grid],
            "activations": [
                np.array([0, 0, 1.5, 9 - rank, 0, 0, 0.25], np.float32) for _, _, rank in grid
            ],
        }

    def auto_interp(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        n = 2 * len(chosen)
        hits = np.tile([8, 6], len(chosen))
        return {
            "layer": np.repeat(self.layer[chosen], 2),
            "feature": np.repeat(self.feature[chosen], 2),
            "variant": ["RAW", "OVERLAY"] * len(chosen),
            "explainer": ["offline"] * n,
            "model": ["over-representation"] * n,
            "description": ["asks for left of", "asks where things are"] * len(chosen),
            "n_positive": np.full(n, 10),
            "n_negative": np.full(n, 10),
            "true_positive": hits,
            "false_positive": 10 - hits,
            "false_negative": 10 - hits,
            "true_negative": hits,
            "f1": (hits / 10).astype(np.float32),
            "balanced_accuracy": (hits / 10).astype(np.float32),
            "mcc": (hits / 5 - 1).astype(np.float32),
            "shuffled_f1": np.full(n, 0.4, np.float32),
            "prompt_hash": ["0" * 64] * n,
            "raw_reply": ["left of\n\tthe"] * n,
            "tokens_used": np.zeros(n, np.int64),
            "cost_usd": [None] * n,
            "n_failed": np.zeros(n, np.int64),
        }

    def head_attribution(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        grid = [
            (i, method, head_layer, head)
            for i in chosen
            for method in "AB"
            for head_layer in self.layers
            if head_layer <= self.layer[i]
            for head in range(4)
        ]
        n = len(grid)
        sign = np.array([-1 if method == "A" else 1 for _, method, _, _ in grid], np.float32)
        strength = np.array([4 - head for _, _, _, head in grid], np.float32)
        return {
            "layer": self.layer[[i for i, *_ in grid]],
            "feature": self.feature[[i for i, *_ in grid]],
            "method": [method for _, method, _, _ in grid],
            "head_layer": np.array([head_layer for _, _, head_layer, _ in grid], np.int16),
            "head": np.array([head for *_, head in grid], np.int16),
            "score": sign * strength,
            "q": sign * strength / 2,
            "k": sign * strength / 2,
            "v": self.share(n, -1, 1),
            "z": self.share(n, -1, 1),
            "standard_error": self.share(n, 0, 0.2),
            "n_samples": np.full(n, 8, np.int32),
        }

    def overlay(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        grid = [(i, sample, head) for i in chosen for sample in (0, 1, 12) for head in (0, 3)]
        n = len(grid)
        weights = self.share(n * 16).reshape(n, 16) / 32
        return {
            "layer": self.layer[[i for i, *_ in grid]],
            "feature": self.feature[[i for i, *_ in grid]],
            "sample": np.array([sample for _, sample, _ in grid]),
            "head_layer": np.zeros(n, np.int16),
            "head": np.array([head for *_, head in grid], np.int16),
            "kind": ["bottom" if head else "top" for *_, head in grid],
            "method": ["B"] * n,
            "grid_rows": np.full(n, 4, np.int16),
            "grid_columns": np.full(n, 4, np.int16),
            "weights": list(weights),
            "image_mass": weights.sum(1),
        }

    def ablation(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        evaluations = ("vsr_relation", "vqa_yes_no")
        grid = [(i, e, c) for i in chosen for e in evaluations for c in range(4)]
        n = len(grid)
        hurts = np.array(
            [e == "vsr_relation" and c == 0 and self.feature[i] == 0 for i, e, c in grid]
        )
        delta = np.where(hurts, -0.25, self.share(n, -0.02, 0.02)).astype(np.float32)
        before = np.full(n, 0.75, np.float32)
        return {
            "layer": self.layer[[i for i, *_ in grid]],
            "feature": self.feature[[i for i, *_ in grid]],
            "evaluation": [e for _, e, _ in grid],
            "control_no": np.array([c for *_, c in grid], np.int16),
            "relation": [
                RELATIONS[self.feature[i] % 4] if e == evaluations[0] else None for i, e, _ in grid
            ],
            "intervention": ["directional"] * n,
            "control_feature": pa.array([c + 30 if c else None for *_, c in grid], pa.int32()),
            "seed": np.zeros(n, np.int32),
            "n_samples": np.full(n, N_SAMPLES // 2, np.int32),
            "accuracy_before": before,
            "accuracy_after": before + delta,
            "delta_accuracy": delta,
            "delta_low": delta - np.float32(0.03),
            "delta_high": delta + np.float32(0.03),
            "right_to_wrong": np.where(hurts, 3, 0),
            "wrong_to_right": np.zeros(n, np.int64),
            "mcnemar_p": np.where(hurts, 0.01, 1.0),
            "q_value": pa.array([None if c else 0.5 for *_, c in grid], pa.float64()),
            "probability_delta": delta,
            "margin_delta": delta * 4,
            "yes_rate_before": np.full(n, 0.5, np.float32),
            "yes_rate_after": np.full(n, 0.5, np.float32),
            "balanced_accuracy_before": before,
            "balanced_accuracy_after": before + delta,
            "removed_norm": self.share(n, 0, 0.3),
        }

    def ablation_outcome(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        half = N_SAMPLES // 2
        grid = [(i, e, s) for i in chosen for e in (0, 1) for s in range(half)]
        n = len(grid)
        return {
            "layer": self.layer[[i for i, *_ in grid]],
            "feature": self.feature[[i for i, *_ in grid]],
            "evaluation": [("vsr_relation", "vqa_yes_no")[e] for _, e, _ in grid],
            "sample": np.array([s if e else half + s for _, e, s in grid]),
            "label": [s % 2 == 1 for *_, s in grid],
            "margin_before": self.share(n, -4, 4),
            "margin_after": self.share(n, -4, 4),
        }
