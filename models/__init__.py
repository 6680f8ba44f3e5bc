"""The database schema `atlas`. (Neural networks are in `src`.)

Dense facts have a row for every feature and a partition per run, sparse facts a row for some
features, samples or heads. When a run is published, `feature_record` is made of them: one wide row
per feature. Other tables say what was studied, what people and the paper say, and what changed.

Every fact row belongs to a measurement, every measurement to a run. A feature is named by
(run_id, layer, feature). The views on top are SQL files in `migrations/views`.

Beside it lies the schema `lists`: what readers keep, which no run touches.
"""

from feature_atlas.models.ablation.ablation import Ablation
from feature_atlas.models.ablation.ablation_group import AblationGroup
from feature_atlas.models.ablation.ablation_group_member import AblationGroupMember
from feature_atlas.models.ablation.ablation_outcome import AblationOutcome
from feature_atlas.models.ablation.spatial_code import SpatialCode
from feature_atlas.models.ablation.spatial_code_ablation import SpatialCodeAblation
from feature_atlas.models.ablation.steering import Steering
from feature_atlas.models.ablation.supervised_ablation import SupervisedAblation
from feature_atlas.models.ablation.supervised_direction import SupervisedDirection
from feature_atlas.models.ablation.supervised_steering import SupervisedSteering
from feature_atlas.models.base import SCHEMA, Base
from feature_atlas.models.dictionary.gate_check import GateCheck
from feature_atlas.models.dictionary.regime import Regime
from feature_atlas.models.dictionary.sae_set import SaeSet
from feature_atlas.models.dictionary.training_curve import TrainingCurve
from feature_atlas.models.features.activation_histogram import ActivationHistogram
from feature_atlas.models.features.candidate import Candidate
from feature_atlas.models.features.decoder_cosine import DecoderCosine
from feature_atlas.models.features.example import Example
from feature_atlas.models.features.feature_record import FeatureRecord
from feature_atlas.models.features.firing_shift import FiringShift
from feature_atlas.models.features.latent_scaling import LatentScaling
from feature_atlas.models.features.logit_effect import LogitEffect
from feature_atlas.models.features.nearest_feature import NearestFeature
from feature_atlas.models.features.neutral_prompt import NeutralPrompt
from feature_atlas.models.features.patch_activation import PatchActivation
from feature_atlas.models.features.role_energy import RoleEnergy
from feature_atlas.models.features.sample_skill import SampleSkill
from feature_atlas.models.features.seed_set import SeedSet
from feature_atlas.models.features.seed_stability import SeedStability
from feature_atlas.models.features.selection import Selection
from feature_atlas.models.features.skill import Skill
from feature_atlas.models.features.visual_energy import VisualEnergy
from feature_atlas.models.heads.attribution_agreement import AttributionAgreement
from feature_atlas.models.heads.custom_overlay import CustomOverlay
from feature_atlas.models.heads.custom_prompt import CustomPrompt
from feature_atlas.models.heads.feature_agreement import FeatureAgreement
from feature_atlas.models.heads.head_attribution import HeadAttribution
from feature_atlas.models.heads.head_estimate import HeadEstimate
from feature_atlas.models.heads.head_exact import HeadExact
from feature_atlas.models.heads.head_knockout import HeadKnockout
from feature_atlas.models.heads.head_stability import HeadStability
from feature_atlas.models.heads.localisation import Localisation
from feature_atlas.models.heads.overlay import Overlay
from feature_atlas.models.lists.comment import Comment
from feature_atlas.models.lists.entry import ListEntry
from feature_atlas.models.lists.feature_list import FeatureList
from feature_atlas.models.lists.kept import LISTS, Kept
from feature_atlas.models.meaning.auto_interp import AutoInterp
from feature_atlas.models.meaning.base_label import BaseLabel
from feature_atlas.models.meaning.chance_score import ChanceScore
from feature_atlas.models.meaning.intruder import Intruder
from feature_atlas.models.meaning.label_embedding import LabelEmbedding
from feature_atlas.models.meaning.output_score import OutputScore
from feature_atlas.models.meaning.review import Review
from feature_atlas.models.runs.drift import Drift
from feature_atlas.models.runs.drift_report import DriftReport
from feature_atlas.models.runs.measurement import Measurement
from feature_atlas.models.runs.published_result import PublishedResult
from feature_atlas.models.runs.run import Run
from feature_atlas.models.runs.sae_source import SaeSource
from feature_atlas.models.runs.stable_promise import StablePromise
from feature_atlas.models.runs.view_file import ViewFile
from feature_atlas.models.vlm.dataset import Dataset
from feature_atlas.models.vlm.forward_check import ForwardCheck
from feature_atlas.models.vlm.image import Image
from feature_atlas.models.vlm.sample import Sample
from feature_atlas.models.vlm.vlm import Vlm
