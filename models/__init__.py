"""The database schema `atlas`. (Neural networks are in `src`.)

registry      vlm, sae_set, dataset, image, sample; run, measurement; the words regime, skill
dense facts   decoder_cosine, visual_energy, firing_shift, selection: a partition per run
read model    feature_record: one wide row per feature, built when a run is published
sparse facts  gate_check, training_curve, role_energy, example, sample_skill, candidate,
              neutral_prompt, auto_interp, review, head_attribution, head_exact,
              attribution_agreement, head_knockout, overlay, localisation, custom_prompt,
              custom_overlay, ablation, ablation_outcome, ablation_group,
              ablation_group_member, steering
search        label_embedding
the paper     published_result
others        base_label: what they say of the base features
re-ingestion  sae_source; drift_report, drift

Every fact row belongs to a measurement, every measurement to a run. A feature is named by
(run_id, layer, feature). The views on top are SQL files in `migrations/views`.
"""

from feature_atlas.models.ablation import Ablation
from feature_atlas.models.ablation_group import AblationGroup
from feature_atlas.models.ablation_group_member import AblationGroupMember
from feature_atlas.models.ablation_outcome import AblationOutcome
from feature_atlas.models.attribution_agreement import AttributionAgreement
from feature_atlas.models.auto_interp import AutoInterp
from feature_atlas.models.base import SCHEMA, Base
from feature_atlas.models.base_label import BaseLabel
from feature_atlas.models.candidate import Candidate
from feature_atlas.models.custom_overlay import CustomOverlay
from feature_atlas.models.custom_prompt import CustomPrompt
from feature_atlas.models.dataset import Dataset
from feature_atlas.models.decoder_cosine import DecoderCosine
from feature_atlas.models.drift import Drift
from feature_atlas.models.drift_report import DriftReport
from feature_atlas.models.example import Example
from feature_atlas.models.feature_record import FeatureRecord
from feature_atlas.models.firing_shift import FiringShift
from feature_atlas.models.gate_check import GateCheck
from feature_atlas.models.head_attribution import HeadAttribution
from feature_atlas.models.head_exact import HeadExact
from feature_atlas.models.head_knockout import HeadKnockout
from feature_atlas.models.image import Image
from feature_atlas.models.label_embedding import LabelEmbedding
from feature_atlas.models.localisation import Localisation
from feature_atlas.models.measurement import Measurement
from feature_atlas.models.neutral_prompt import NeutralPrompt
from feature_atlas.models.overlay import Overlay
from feature_atlas.models.published_result import PublishedResult
from feature_atlas.models.regime import Regime
from feature_atlas.models.review import Review
from feature_atlas.models.role_energy import RoleEnergy
from feature_atlas.models.run import Run
from feature_atlas.models.sae_set import SaeSet
from feature_atlas.models.sae_source import SaeSource
from feature_atlas.models.sample import Sample
from feature_atlas.models.sample_skill import SampleSkill
from feature_atlas.models.selection import Selection
from feature_atlas.models.skill import Skill
from feature_atlas.models.steering import Steering
from feature_atlas.models.training_curve import TrainingCurve
from feature_atlas.models.visual_energy import VisualEnergy
from feature_atlas.models.vlm import Vlm

__all__ = [
    "SCHEMA",
    "Ablation",
    "AblationGroup",
    "AblationGroupMember",
    "AblationOutcome",
    "AttributionAgreement",
    "AutoInterp",
    "Base",
    "BaseLabel",
    "Candidate",
    "CustomOverlay",
    "CustomPrompt",
    "Dataset",
    "DecoderCosine",
    "Drift",
    "DriftReport",
    "Example",
    "FeatureRecord",
    "FiringShift",
    "GateCheck",
    "HeadAttribution",
    "HeadExact",
    "HeadKnockout",
    "Image",
    "LabelEmbedding",
    "Localisation",
    "Measurement",
    "NeutralPrompt",
    "Overlay",
    "PublishedResult",
    "Regime",
    "Review",
    "RoleEnergy",
    "Run",
    "SaeSet",
    "SaeSource",
    "Sample",
    "SampleSkill",
    "Selection",
    "Skill",
    "Steering",
    "TrainingCurve",
    "VisualEnergy",
    "Vlm",
]
