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
WARNINGS = ("the stream was short", 'a "quoted", [/braced] one')
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
        if stage == "adapt":  # the other measurements are of a version that knew no warnings
            manifest["measurements"][-1]["warnings"] = list(WARNINGS)
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


def _whole_picture(n: int, left: float = 0, right: float = 48, height: float = 48) -> Columns:
    """Where n patch grids lie on their pictures."""
    edges = {"left": left, "top": 0, "right": right, "bottom": height}
    return {f"seen_{edge}": np.full(n, value, np.float32) for edge, value in edges.items()}


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
            "gate_check": {"gate_check": self.gate_check()},
            "adapt": {"training_curve": self.training_curve()},
            "decoder_cosine": {"decoder_cosine": self.decoder_cosine()},
            "visual_energy": {
                "visual_energy": self.visual_energy(),
                "role_energy": self.role_energy(),
            },
            "selection": {"selection": self.selection()},
            "firing_shift": {"firing_shift": self.firing_shift()},
            "sample_skill": {"sample_skill": self.sample_skill()},
            "neutral_prompt": {
                "candidate": self.candidate(),
                "neutral_prompt": self.neutral_prompt(),
            },
            "example": {"example": self.example()},
            "auto_interp": {"auto_interp": self.auto_interp()},
            "head_attribution": {"head_attribution": self.head_attribution()},
            "exact_patch": {
                "head_exact": self.head_exact(),
                "attribution_agreement": self.attribution_agreement(),
            },
            "head_knockout": {"head_knockout": self.head_knockout()},
            "overlay": {"overlay": self.overlay(), "localisation": self.localisation()},
            "custom_overlay": {
                "custom_prompt": self.custom_prompt(),
                "custom_overlay": self.custom_overlay(),
            },
            "ablation": {
                "ablation": self.ablation(),
                "ablation_outcome": self.ablation_outcome(),
            },
            "group_ablation": {
                "ablation_group": self.ablation_group(),
                "ablation_group_member": self.ablation_group_member(),
            },
            "steering": {"steering": self.steering()},
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

    def gate_check(self) -> Columns:
        n = len(self.layers)
        return {
            "layer": np.array(self.layers, np.int16),
            "l0": np.full(n, 7.5, np.float32),
            "fvu": np.full(n, 0.0625, np.float32),
            "share_dead": np.full(n, 0.125, np.float32),
            "mean_norm": np.full(n, 4, np.float32),
            "n_tokens": np.full(n, 2048, np.int64),
            "stated_l0": np.full(n, 8, np.float32),
            "stated_fvu": np.full(n, 0.05, np.float32),
            "stated_share_dead": np.full(n, 0.1, np.float32),
        }

    def training_curve(self) -> Columns:
        regimes, steps = ("text", "image", "full"), (0, 1000, 2000)
        grid = [
            (regime, layer, step, role)
            for regime in regimes
            for layer in self.layers
            for step in steps
            for role in ("all", "image", "question")
        ]
        n = len(grid)
        worse = np.array([0 if role == "all" else 0.5 for *_, role in grid])
        return {
            "regime": [r for r, *_ in grid],
            "layer": np.array([layer for _, layer, _, _ in grid], np.int16),
            "tokens_seen": np.array([s for _, _, s, _ in grid], np.int64),
            "role": [role for *_, role in grid],
            "fvu": (worse + [0.9 * 0.5 ** (s / 1000) for _, _, s, _ in grid]).astype(np.float32),
            "l0": self.share(n, 6, 8),
            "n_tokens": np.full(n, 4096, np.int64),
            "learning_rate": np.full(n, 3e-4, np.float32),
        }

    def decoder_cosine(self) -> Columns:
        regimes, n = ("text", "image", "full", "random"), 4 * self.n
        text = np.where(self.is_adapted, self.share(self.n, 0, 0.6), self.share(self.n, 0.8, 1))
        measured = {
            "cosine": np.concatenate([text, self.share(3 * self.n, -1, 1)]).astype(np.float32),
            "encoder_cosine": self.share(n, -1, 1),
            "base_norm": self.share(n, 0.5, 2),
            "adapted_norm": self.share(n, 0.5, 2),
            "best_base_feature": self.random.integers(0, self.d_sae, n, dtype=np.int32),
            "best_base_cosine": self.share(n, 0, 1),
            "n_firings": self.random.integers(0, 10_000, n),
        }
        # the controls' numbers are those of image and full in reverse
        controls = {name: column[self.n : 3 * self.n][::-1] for name, column in measured.items()}
        regimes += ("refit", "language")
        return {
            "regime": np.repeat(regimes, self.n).tolist(),
            **self.keys(len(regimes)),
            **{name: np.concatenate([measured[name], controls[name]]) for name in measured},
            **self.beside_null(regimes),
        }

    def beside_null(self, regimes: tuple[str, ...]) -> Columns:
        """Turns of the adapted features are beyond the null; the null and a new start have none."""
        is_tested = np.repeat([regime not in ("random", "refit") for regime in regimes], self.n)
        is_beyond = np.tile(self.is_adapted, len(regimes))
        values = {
            "null_cosine": np.full(len(is_tested), 0.9, np.float32),
            "excess_rotation": np.where(is_beyond, 0.5, 0).astype(np.float32),
            "rotation_p_value": np.where(is_beyond, 1e-5, 0.5),
            "rotation_q_value": np.where(is_beyond, 1e-4, 1),
        }
        return {name: pa.array(column, mask=~is_tested) for name, column in values.items()}

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
            "modality_preference": (preference := self.share(self.n, -3, 3)),
            "firing_rate": (fired / 5000).astype(np.float32),
            "energy_all_tokens": question * 2,
            "energy_question_control": question,
            "fired_question_control": fired // 2,
            "energy_question_only": question,  # and no suffix
            "fired_question_only": fired // 2,
            "energy_header": question,
            "fired_header": fired - fired // 2,
            "modality_preference_low": preference - 1,
            "modality_preference_high": preference + 1,
            "mean_activation": pa.array(np.sqrt(question), mask=fired == 0),
            "max_activation": np.full(self.n, 9, np.float32),
        }

    def role_energy(self) -> Columns:
        grid = [(i, c) for i in self.layers for c in ("real", "mean", "none")]
        n = len(grid)
        return {
            "layer": np.array([i for i, _ in grid], np.int16),
            "condition": [c for _, c in grid],
            "role": ["question"] * n,
            "n_tokens": np.full(n, 5000),
            "n_sinks": np.full(n, 5),
            "sink_norm": np.full(n, 80, np.float32),
            "energy": np.full(n, 64, np.float32),
            "energy_without_sinks": np.full(n, 60, np.float32),
            "sink_share": np.full(n, 0.0625, np.float32),
        }

    def selection(self) -> Columns:
        return {
            **self.keys(),
            "is_adapted": self.is_adapted,
            "cosine_rank": np.where(self.is_adapted, 0.1, 0.7).astype(np.float32),
            "is_beyond_null": self.is_adapted,
            "is_beyond_language": self.feature % 4 != 3,
            "is_turned_by_vision": self.is_adapted & (self.feature % 4 != 3),
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
            "odds_ratio_boot_low": odds / 4,
            "odds_ratio_boot_high": odds * 4,
            "p_value": self.random.uniform(0, 1, n) ** 40,
            "q_value": self.random.uniform(0, 1, n),
            "question_delta_p": self.share(n, -1, 1),
            "question_odds_ratio": odds,
            "question_odds_ratio_low": odds / 3,
            "question_odds_ratio_high": odds * 3,
            "has_zero_cell": fired == 0,
            "is_candidate": candidate,
            **self.shift_controls(fired, odds),
        }

    def shift_controls(self, fired: np.ndarray, odds: np.ndarray) -> Columns:
        """The shift on question tokens, and between questions of one length; vsr has no pairs."""
        n, pairs = len(fired), np.where(np.arange(len(fired)) < 2 * self.n, 1, 0)

        def share(values: np.ndarray) -> pa.Array:
            return pa.array(values, mask=pairs == 0)

        return {
            "role_fired_skill": fired // 2,
            "role_tokens_skill": np.full(n, 250),
            "role_fired_base": fired // 4,
            "role_tokens_base": np.full(n, 600),
            "role_delta_p": (fired // 2 / 250 - fired // 4 / 600).astype(np.float32),
            "role_odds_ratio": odds,
            "role_odds_ratio_low": odds / 2,
            "role_odds_ratio_high": odds * 2,
            "matched_questions": 30 * pairs,
            "matched_fired_skill": fired // 2 * pairs,
            "matched_tokens_skill": 300 * pairs,
            "matched_fired_base": fired // 3 * pairs,
            "matched_tokens_base": 301 * pairs,
            "matched_questions_fired_skill": fired // 20 * pairs,
            "matched_questions_fired_base": fired // 40 * pairs,
            "matched_delta_p": share((fired / 4000).astype(np.float32)),
            "matched_odds_ratio": share(odds),
            "matched_odds_ratio_low": share(odds / 2),
            "matched_odds_ratio_high": share(odds * 2),
        }

    def sample_skill(self) -> Columns:
        number = np.arange(0, N_SAMPLES // 2, 2, dtype=np.int64)
        relation = [RELATIONS[i % len(RELATIONS)] for i in number]
        return {"skill": ["spatial"] * len(number), "sample": number, "rule": relation}

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
            "n_fired_shuffled_image": np.full(n, 9, np.int32),
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
            "n_fired_shuffled_image": np.full(2 * n, 4, np.int32),
            "has_skill_word": np.repeat([False, True], n),
            "mean_activation": self.share(2 * n, 0, 4),
        }

    def example(self) -> Columns:
        chosen = np.flatnonzero(self.is_candidate)
        tokens = ["Is", "the", "circle", 'left"of', "the\\square", "?", "{é}"]
        half = N_SAMPLES // 2
        # the last of four is no strongest one: it stands for the middle
        grid = [(i, s, rank) for i in chosen for s in (0, 1) for rank in range(4)]
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
            "quantile": pa.array([5 if rank == 3 else None for *_, rank in grid], pa.int16()),
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
            "grader_model": ["over-representation"] * n,
            "mcc_low": (hits / 5 - 1.3).astype(np.float32),
            "mcc_high": (hits / 5 - 0.8).astype(np.float32),
            "chance_p": np.where(hits == 8, 0.01, 0.33),
            "f1_gain_low": np.where(hits == 8, 0.1, -0.1).astype(np.float32),
            "f1_gain_high": np.full(n, 0.6, np.float32),
            "text_only_f1": (hits / 10).astype(np.float32),
            "picture_gain_low": np.zeros(n, np.float32),
            "picture_gain_high": np.zeros(n, np.float32),
            "n_same_relation": np.full(n, 3),
            "n_same_image": np.full(n, 3),
            "raw_verdicts": [["yes\tno", "é"], []] * len(chosen),
            "n_repaired": np.zeros(n, np.int64),
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
            "q_fix": sign * strength / 2,
            "k_fix": sign * strength / 2,
            "qk_fix": sign * strength,
            "standard_error": self.share(n, 0, 0.2),
            "n_samples": np.full(n, 8, np.int32),
        }

    def head_exact(self) -> Columns:
        """Heads 0 and 1 of the traced features: head 0 is a cause, head 1 is not."""
        traced = self.head_attribution()
        few = traced["head"] < 2
        score, is_cause = traced["score"][few], traced["head"][few] == 0
        effect = np.where(is_cause, score, 0).astype(np.float32)
        n = len(effect)
        return {
            **{name: traced[name][few] for name in ("layer", "feature", "head_layer", "head")},
            "method": [m for m, keep in zip(traced["method"], few, strict=True) if keep],
            "part": ["qk"] * n,
            "why": ["top" if cause else "random" for cause in is_cause],
            "effect": effect,
            "standard_error": np.full(n, 0.1, np.float32),
            "effect_low": effect - np.float32(0.25),
            "effect_high": effect + np.float32(0.25),
            "p_value": np.where(is_cause, 1e-6, 1.0),
            "q_value": np.where(is_cause, 1e-5, 1.0),
            "estimate": score,
            "estimate_fix": score,
            "is_causal": is_cause,
            "n_samples": np.full(n, 8, np.int32),
        }

    def attribution_agreement(self) -> Columns:
        estimates = ("A", "B", "mean", "A_fix", "B_fix", "mean_fix")
        grid = [(estimate, scope) for estimate in estimates for scope in ("all", "within_layer")]
        n = len(grid)
        return {
            "part": ["qk"] * n,
            "estimate": [estimate for estimate, _ in grid],
            "scope": [scope for _, scope in grid],
            "pearson": self.share(n, 0.8, 1),
            "spearman": pa.array([None, *self.share(n - 1, 0.8, 1)], pa.float32()),
            "sign_agreement": self.share(n, 0.8, 1),
            "top_overlap": self.share(n, 0.5, 1),
            "top_overlap_by_chance": np.full(n, 0.25, np.float32),
            "n_features": np.full(n, 10),
            "n_pairs": np.full(n, 320),
            "n_samples": np.full(n, 8),
        }

    def head_knockout(self) -> Columns:
        """Of feature 0 of each layer: its heads cost accuracy, their controls do not."""
        layers = [
            (layer, part, c) for layer in self.layers for part in ("qk", "z") for c in range(3)
        ]
        n = len(layers)
        is_own = np.array([c == 0 for *_, c in layers])
        delta = np.where(is_own, -0.25, 0).astype(np.float32)
        half = np.full(n, 0.5, np.float32)
        return {
            "layer": np.array([layer for layer, *_ in layers], np.int16),
            "feature": np.zeros(n, np.int32),
            "part": [part for _, part, _ in layers],
            "control_no": np.array([c for *_, c in layers], np.int16),
            "relation": [RELATIONS[0]] * n,
            "heads": [["L0H0", "L0H1"] if own else ["L0H2", "L0H3"] for own in is_own],
            "image_mass": half,
            "projection_before": half * 4,
            "projection_after": half * 4 + delta * 4,
            "projection_corrupt": half,
            "projection_delta_low": delta * 4 - np.float32(0.1),
            "projection_delta_high": delta * 4 + np.float32(0.1),
            "activation_before": half,
            "activation_after": half + delta,
            "activation_corrupt": half * 0,
            "seed": np.zeros(n, np.int32),
            "n_samples": np.full(n, N_SAMPLES // 2, np.int32),
            "accuracy_before": half,
            "accuracy_after": half + delta,
            "delta_accuracy": delta,
            "delta_low": delta - np.float32(0.03),
            "delta_high": delta + np.float32(0.03),
            "right_to_wrong": np.where(is_own, 3, 0),
            "wrong_to_right": np.zeros(n, np.int64),
            "mcnemar_p": np.where(is_own, 0.25, 1.0),
            "q_value": pa.array([0.25 if own else None for own in is_own], pa.float64()),
            "probability_delta": delta,
            "margin_delta": delta * 4,
            "margin_low": delta * 4 - np.float32(0.5),
            "margin_high": delta * 4 + np.float32(0.5),
            "yes_rate_before": half,
            "yes_rate_after": half,
            "balanced_accuracy_before": half,
            "balanced_accuracy_after": half + delta,
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
            **_whole_picture(n),
            # statements of sample 12: nothing is known of its objects
            "object_share": pa.array([None if s == 12 else 0.5 for _, s, _ in grid], pa.float32()),
            "object_area": pa.array([None if s == 12 else 0.125 for _, s, _ in grid], pa.float32()),
            "lift": pa.array([None if s == 12 else 4.0 for _, s, _ in grid], pa.float32()),
        }

    def localisation(self) -> Columns:
        lift = np.array([3, 0.5, 1, 2.5, 2], np.float32)
        share = lift / 8
        return {
            "comparison": ["top", "bottom", "random", "top - bottom", "top - random"],
            "n_pairs": np.full(5, 16, np.int64),
            "n_features": np.full(5, 2 * N_SURVIVORS, np.int64),
            "n_images": np.full(5, 2, np.int64),
            "share": share,
            "share_low": share - np.float32(0.05),
            "share_high": share + np.float32(0.05),
            "lift": lift,
            "lift_low": lift - np.float32(0.4),
            "lift_high": lift + np.float32(0.4),
        }

    def custom_prompt(self) -> Columns:
        picture, stored = Image.new("RGB", (60, 48), (9, 90, 200)), io.BytesIO()
        picture.save(stored, "PNG")
        n = len(self.layers)
        return {
            **self.of_custom(1),
            "question": ["Is the blue thing left of the red one?"] * n,
            "image_sha256": [sha256(b"custom")] * n,
            "image_uri": ["custom.png"] * n,
            "width": np.full(n, 60, np.int32),
            "height": np.full(n, 48, np.int32),
            "thumbnail": [stored.getvalue()] * n,
            "tokens": [["is", " the", " blue"]] * n,
            "activations": [[0.0, 0.25, 1.5]] * n,
            "max_activation": np.full(n, 1.5, np.float32),
        }

    def custom_overlay(self) -> Columns:
        n = 3 * len(self.layers)
        weights = self.share(n * 16).reshape(n, 16) / 32
        return {
            **self.of_custom(3),
            "head_layer": np.zeros(n, np.int16),
            "head": np.tile(np.arange(3, dtype=np.int16), n // 3),
            "kind": ["top", "random", "bottom"] * (n // 3),
            "method": ["B"] * n,
            "grid_rows": np.full(n, 4, np.int16),
            "grid_columns": np.full(n, 4, np.int16),
            "weights": list(weights),
            "image_mass": weights.sum(1),
            # the middle of a picture of 60 by 48
            **_whole_picture(n, left=6, right=54),
        }

    def of_custom(self, repeat: int) -> Columns:
        """Keys of one custom prompt, put to feature 0 of each layer."""
        n = repeat * len(self.layers)
        return {
            "layer": np.repeat(np.array(self.layers, np.int16), repeat),
            "feature": np.zeros(n, np.int32),
            "prompt": [sha256(b"custom prompt")] * n,
        }

    def ablation(self) -> Columns:
        chosen = np.flatnonzero(self.survives)
        evaluations = ("vsr_relation", "vqa_yes_no")
        grid = [(i, e, c, "directional") for i in chosen for e in evaluations for c in range(4)]
        grid += [(i, "vsr_relation", c, "directional") for i in chosen for c in (4, 5)]
        grid += [(i, e, 0, "directional") for i in chosen for e in ("vsr_other", "vsr_paper")]
        grid += [(i, "vsr_relation", 0, "feature_subtraction") for i in chosen]
        n, kinds = len(grid), (None, None, "matched", "matched", "random", "direction")
        hurts = np.array(
            [
                e in ("vsr_relation", "vsr_paper") and c == 0 and self.feature[i] == 0
                for i, e, c, _ in grid
            ]
        )
        delta = np.where(hurts, -0.25, self.share(n, -0.02, 0.02)).astype(np.float32)
        in_question = [e == "vsr_relation" and c == 0 for _, e, c, _ in grid]
        return {
            "layer": self.layer[[i for i, *_ in grid]],
            "feature": self.feature[[i for i, *_ in grid]],
            "evaluation": [e for _, e, *_ in grid],
            "control_no": np.array([c for *_, c, _ in grid], np.int16),
            "relation": [
                None if e == "vqa_yes_no" else RELATIONS[self.feature[i] % 4] for i, e, *_ in grid
            ],
            "intervention": [intervention for *_, intervention in grid],
            "control_kind": [kinds[c] for *_, c, _ in grid],  # none of a control: an older file
            "control_feature": pa.array(
                [c + 30 if 0 < c < 5 else None for *_, c, _ in grid], pa.int32()
            ),
            "control_p": pa.array([0.25 if q else None for q in in_question], pa.float64()),
            **{
                name: pa.array([value if q else None for q in in_question], pa.float32())
                for name, value in (
                    ("interaction", -0.2),
                    ("interaction_low", -0.3),
                    ("interaction_high", 0.05),
                    ("accuracy_mean_image", 0.5),
                    ("accuracy_no_image", 0.45),
                    ("detectable_delta", 0.1),
                )
            },
            **self.effect(delta, hurts),
            "q_value": pa.array([None if c else 0.5 for *_, c, _ in grid], pa.float64()),
        }

    def effect(self, delta: np.ndarray, hurts: np.ndarray) -> Columns:
        """What happened to some answers: the columns that three tables share."""
        n, before = len(delta), np.full(len(delta), 0.75, np.float32)
        return {
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
            "probability_delta": delta,
            "probability_low": delta - np.float32(0.03),
            "probability_high": delta + np.float32(0.03),
            "margin_delta": delta * 4,
            "margin_low": delta * 4 - 1,
            "margin_high": delta * 4 + 1,
            "yes_rate_before": np.full(n, 0.5, np.float32),
            "yes_rate_after": np.full(n, 0.5, np.float32),
            "balanced_accuracy_before": before,
            "balanced_accuracy_after": before + delta,
            "removed_norm": self.share(n, 0, 0.3),
        }

    def ablation_group(self) -> Columns:
        """The survivors of each layer, 1, 2 and 4 of them; each removal costs a tenth more."""
        grid = [(i, d, c) for i in self.layers for d in (1, 2, 4) for c in (0, 1)]
        delta = np.array([-0.1 * d if c == 0 else 0 for _, d, c in grid], np.float32)
        return {
            "kind": ["layer"] * len(grid),
            "name": [str(i) for i, *_ in grid],
            "evaluation": ["vsr_all"] * len(grid),
            "n_features": np.array([d for _, d, _ in grid], np.int32),
            "control_no": np.array([c for *_, c in grid], np.int16),
            **self.effect(delta, delta < 0),
            "q_value": pa.array([0.5 if c == 0 else None for *_, c in grid], pa.float64()),
        }

    def ablation_group_member(self) -> Columns:
        grid = [(i, c, place) for i in self.layers for c in (0, 1) for place in range(N_SURVIVORS)]
        return {
            "kind": ["layer"] * len(grid),
            "name": [str(i) for i, *_ in grid],
            "control_no": np.array([c for _, c, _ in grid], np.int16),
            "place": np.array([place + 1 for *_, place in grid], np.int32),
            "layer": np.array([i for i, *_ in grid], np.int16),
            "feature": np.array([place + 30 * c for _, c, place in grid], np.int32),
        }

    def steering(self) -> Columns:
        """Feature 0 of each layer, pushed both ways."""
        grid = [(i, alpha) for i in self.layers for alpha in (-1, 1, 2)]
        alpha = np.array([a for _, a in grid], np.float32)
        return {
            "layer": np.array([i for i, _ in grid], np.int16),
            "feature": np.zeros(len(grid), np.int32),
            "evaluation": ["vsr_relation"] * len(grid),
            "relation": [RELATIONS[0]] * len(grid),
            "alpha": alpha,
            "length": alpha * 3,
            "yes_margin_delta": alpha / 2,
            "yes_margin_delta_removed": np.full(len(grid), -0.5, np.float32),
            "mirror_correlation": pa.array([None, -0.9, -0.7] * len(self.layers), pa.float32()),
            **self.effect(np.zeros(len(grid), np.float32), alpha > 9),
            "q_value": np.ones(len(grid)),
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
            "margin_mean_image": np.full(n, 0.5, np.float32),
        }
