"""Rows of a run as rows of Neuronpedia's tables, with all the columns of its own exports.

Its importer takes the columns from a file's first line, so every line has every column; what the
atlas does not measure is empty. Names and types are those of its `schema.prisma`.
"""

from datetime import datetime
from typing import Any, NamedTuple

from feature_atlas.etl.bridges.exported_run import ExportedRun


class Place(NamedTuple):
    """Names of one layer in the bundle."""

    run: ExportedRun
    layer: int
    model_id: str
    """Neuronpedia's id of the model."""
    source_id: str
    """Its id of the layer's SAE, which its tables call layer."""
    creator: str
    """Its id of the user whom the rows belong to."""


def neuron(place: Place, feature: int, firing_rate: float, strongest: float) -> dict[str, Any]:
    """A row of table Neuron: one feature."""
    return {
        **_key(place, feature),
        "maxActApprox": strongest,
        "creatorId": place.creator,
        "frac_nonzero": firing_rate,
        **{name: [] for name in EMPTY_LISTS},
        "sourceSetName": place.run.slug,
        "vectorLabel": None,
        "hookName": f"blocks.{place.layer}.hook_{place.run.hook_site}",
        "vectorDefaultSteerStrength": None,
        "hasVector": False,
    }


EMPTY_LISTS = (
    "freq_hist_data_bar_heights",
    "freq_hist_data_bar_values",
    "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values",
    "neuron_alignment_indices",
    "neuron_alignment_l1",
    "neuron_alignment_values",
    "correlated_neurons_indices",
    "correlated_neurons_l1",
    "correlated_neurons_pearson",
    "decoder_weights_dist",
    "neg_str",
    "neg_values",
    "pos_str",
    "pos_values",
    "topkCosSimIndices",
    "topkCosSimValues",
    "vector",
)


def activation(
    place: Place,
    feature: int,
    dataset: str,
    rank: int,
    tokens: list[str],
    values: list[float],
    strongest: float,
    strongest_token: int,
) -> dict[str, Any]:
    """A row of table Activation: one of a feature's samples, strong or of some quantile."""
    return {
        "id": f"{place.run.slug}-{place.layer}-{feature}-{dataset}-{rank}",
        **_key(place, feature),
        "creatorId": place.creator,
        "dataSource": dataset,
        "tokens": tokens,
        "maxValue": strongest,
        "minValue": min(values),
        "values": values,
        "maxValueTokenIndex": strongest_token,
        "dfaValues": [],
        "dfaMaxValue": None,
        "dfaTargetIndex": None,
        "binContains": None,
        "binMin": None,
        "binMax": None,
    }


def explanation(
    place: Place,
    feature: int,
    number: int,
    description: str,
    type_name: str,
    explainer: str | None,
    f1: float | None,
    n_positive: int | None,
    n_negative: int | None,
    written_at: datetime,
) -> dict[str, Any]:
    """A row of table Explanation: one description, with its score in the notes."""
    scored = f"F1 {f1} on {n_positive} firing and {n_negative} silent samples"
    return {
        "id": f"{place.run.slug}-{place.layer}-{feature}-{number}",
        **_key(place, feature),
        "authorId": place.creator,
        "description": description,
        "embedding": None,
        "typeName": f"atlas_{type_name}",
        "explanationModelName": explainer,
        "umap_x": None,
        "umap_y": None,
        "umap_cluster": None,
        "umap_log_feature_sparsity": None,
        "notes": "a reviewer's words" if f1 is None else scored,
        "createdAt": written_at.isoformat(),
    }


def model(place: Place) -> dict[str, Any]:
    """A row of table Model."""
    run = place.run
    return {
        "id": place.model_id,
        "displayNameShort": run.vlm,
        "displayName": run.vlm,
        "creatorId": place.creator,
        "tlensId": None,
        "dimension": run.d_model,
        "visibility": "PRIVATE",
        "inferenceEnabled": False,
        "instruct": False,
        "layers": run.n_layers,
        "neuronsPerLayer": 0,
        "owner": "feature atlas",
        "website": None,
        **_times(run, "createdAt", "updatedAt"),
    }


def source(place: Place) -> dict[str, Any]:
    """A row of table Source: the SAE of one layer."""
    run = place.run
    return {
        "id": place.source_id,
        "modelId": place.model_id,
        "hasDashboards": True,
        "inferenceEnabled": False,
        "saelensConfig": None,
        "saelensRelease": None,
        "saelensSaeId": None,
        "hfRepoId": None,
        "hfFolderId": None,
        "visibility": "PRIVATE",
        "setName": run.slug,
        "creatorId": place.creator,
        "hasUmap": False,
        "hasUmapLogSparsity": False,
        "hasUmapClusters": False,
        "num_prompts": None,
        "num_tokens_in_prompt": None,
        "dataset": None,
        "notes": f"{run.release} adapted to {run.vlm}; run {run.slug} of a feature atlas",
        **_times(run, "createdAt"),
    }


def source_set(place: Place) -> dict[str, Any]:
    """A row of table SourceSet: the SAEs of a run."""
    run = place.run
    return {
        "modelId": place.model_id,
        "name": run.slug,
        "hasDashboards": True,
        "allowInferenceSearch": False,
        "visibility": "PRIVATE",
        "description": f"{run.release} adapted to {run.vlm}",
        "type": "",
        "creatorName": "feature atlas",
        "urls": [],
        "creatorEmail": None,
        "creatorId": place.creator,
        "releaseName": run.slug,
        "defaultRange": 1,
        "defaultShowBreaks": True,
        "showDfa": False,
        "showCorrelated": False,
        "showHeadAttribution": False,
        "showUmap": False,
        **_times(run, "createdAt"),
    }


def source_release(place: Place) -> dict[str, Any]:
    """A row of table SourceRelease: a run."""
    run = place.run
    return {
        "name": run.slug,
        "visibility": "PRIVATE",
        "isNewUi": True,
        "featured": False,
        "description": f"{run.release} adapted to {run.vlm}",
        "descriptionShort": run.slug,
        "urls": [],
        "creatorEmail": None,
        "creatorName": "feature atlas",
        "creatorNameShort": None,
        "creatorId": place.creator,
        "defaultSourceSetName": run.slug,
        "defaultSourceId": f"{run.layers[0]}-{run.slug}",
        "defaultUmapSourceIds": [],
        **_times(run, "createdAt"),
    }


def explanation_type(word: str, creator: str) -> dict[str, Any]:
    """A row of table ExplanationType: how a description came to be."""
    return {
        "name": f"atlas_{word}",
        "displayName": f"feature atlas, {word}",
        "description": TYPES[word],
        "featured": False,
        "isAttention": False,
        "creatorName": "feature atlas",
        "creatorId": creator,
    }


TYPES = {
    "raw": "an explainer saw the strongest samples with the firing tokens marked",
    "overlay": "it saw besides where the feature's strongest head looks",
    "review": "a person's own words",
}


def explanation_model_type(name: str) -> dict[str, Any]:
    """A row of table ExplanationModelType: who described."""
    return {
        "name": name,
        "displayName": name,
        "description": "",
        "featured": False,
        "creatorName": "feature atlas",
    }


def _key(place: Place, feature: int) -> dict[str, str]:
    """The three texts by which Neuronpedia knows a feature."""
    return {"modelId": place.model_id, "layer": place.source_id, "index": str(feature)}


def _times(run: ExportedRun, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, run.published_at)
