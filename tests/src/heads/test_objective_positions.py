"""Where a feature's projection is summed."""

import torch

from feature_atlas.heads.objective_positions import role_positions, strongest_positions
from feature_atlas.vlm.token_roles import Role

ROLES = torch.tensor(
    [
        [Role.BOS, Role.IMAGE, Role.QUESTION, Role.QUESTION, Role.HEADER],
        [Role.BOS, Role.IMAGE, Role.QUESTION, Role.HEADER, Role.PAD],
    ]
)


def test_text_question_and_last_token_are_told_apart() -> None:
    assert role_positions(ROLES, "text").int().tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]
    assert role_positions(ROLES, "question").int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 0, 0]]
    assert role_positions(ROLES, "last").int().tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]


def test_the_strongest_token_is_one_of_the_text_for_each_feature_and_sample() -> None:
    residual = torch.tensor([[[9.0], [9.0], [1.0], [3.0], [2.0]]]).expand(2, -1, -1)
    detectors = torch.tensor([[[1.0], [1.0]], [[-1.0], [-1.0]]])  # the second likes small ones

    chosen = strongest_positions(residual, role_positions(ROLES, "strongest"), detectors)

    assert chosen.int().tolist() == [
        [[0, 0, 0, 1, 0], [0, 0, 0, 1, 0]],
        [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0]],
    ]
