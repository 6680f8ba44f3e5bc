"""YAML in which nothing is said twice and every text can be stored."""

from typing import Any

import yaml

from feature_atlas.etl.config.inputs import first_double
from feature_atlas.models.storable_text import fault_of


def read_yaml(text: str) -> Any:
    """What it says; yaml.YAMLError says what is wrong with it, and on which line."""
    return yaml.load(text, _StrictLoader)


class _StrictLoader(yaml.SafeLoader):
    """Of a key that comes twice the first would be ignored; half a character is found late."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        double = first_double([key.value for key, _ in node.value])
        if double is not None:
            raise yaml.YAMLError(f"{double!r} comes twice in one section{node.start_mark}")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if isinstance(node, yaml.ScalarNode) and (fault := fault_of(node.value)):
            raise yaml.YAMLError(f"a text holds {fault}{node.start_mark}")
        return super().construct_scalar(node)
