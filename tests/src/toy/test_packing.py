import pytest
import torch

from feature_atlas.toy.curriculum import EVERYTHING
from feature_atlas.toy.examination import examine_language, new_exam
from feature_atlas.toy.lessons import Plan, Teacher, image_lesson, text_lesson
from feature_atlas.toy.networks import new_language_model, new_vlm
from feature_atlas.toy.packing import PADDING, Piece, block_mask, pack
from feature_atlas.toy.reading import image_embeddings, packed_hidden, text_hidden

PREFIX = Piece([1, 5], [0.0, 0.1])
SHORT = Piece([7, 8], [0.1, 1.0], n_answer=1)
LONG = Piece([9, 10, 11], [0.1, 1.0, 1.0], n_answer=2)


def test_blocks_lie_side_by_side_and_positions_restart_after_the_prefix():
    packed = pack([(PREFIX, [SHORT, LONG])], length=8)

    assert packed.tokens.tolist() == [[1, 5, 7, 8, 9, 10, 11, 0]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2, 3, 4, 0]]
    assert packed.block.tolist() == [[0, 0, 1, 1, 2, 2, 2, PADDING]]
    assert packed.is_answer.long().tolist() == [[0, 0, 0, 1, 0, 1, 1, 0]]


def test_the_first_token_of_a_block_is_not_predicted_from_another_block():
    packed = pack([(PREFIX, [SHORT, LONG])], length=8)

    torch.testing.assert_close(packed.weights, torch.tensor([[0, 0.1, 0, 1, 0, 1, 1, 0]]))


def test_a_block_that_does_not_fit_is_left_out():
    packed = pack([(PREFIX, [SHORT, LONG])], length=6)

    assert packed.block.tolist() == [[0, 0, 1, 1, PADDING, PADDING]]


def test_a_block_sees_the_prefix_and_itself_backwards():
    sees = block_mask(torch.tensor([[0, 1, 1, 2]]))[0, 0]

    assert sees.long().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]


def prompts_of(packed, row: int):
    """Each block of a packed row as a prompt of its own: (tokens, where it lies in the row)."""
    block = packed.block[row]
    for number in range(1, int(block.max()) + 1):
        inside = (block == number).nonzero()[:, 0]
        yield torch.cat([packed.tokens[row][block == 0], packed.tokens[row][inside]]), inside


@torch.no_grad()
def test_a_packed_question_gets_the_logits_of_a_prompt_of_its_own():
    torch.manual_seed(0)
    model = new_language_model().eval()
    # Layers that add nothing would make any mask right.
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.normal_(std=0.08)
        layer.mlp.down_proj.weight.normal_(std=0.08)
    packed = text_lesson(Teacher(0), Plan(2, 4, EVERYTHING, n_pairs=3, n_facts=3))
    together = text_hidden(model, packed)

    for tokens, inside in prompts_of(packed, row=1):
        alone = model.model(input_ids=tokens[None]).last_hidden_state[0, -len(inside) :]
        torch.testing.assert_close(together[1, inside], alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_packed_picture_gets_the_logits_of_the_vlm_itself():
    torch.manual_seed(0)
    vlm = new_vlm(new_language_model()).eval()
    for layer in vlm.model.language_model.layers:
        layer.self_attn.o_proj.weight.normal_(std=0.08)
        layer.mlp.down_proj.weight.normal_(std=0.08)
    packed, pixels = image_lesson(Teacher(0), Plan(2, 3, EVERYTHING))
    together = vlm.lm_head(packed_hidden(vlm, packed, image_embeddings(vlm, pixels)))

    for tokens, inside in prompts_of(packed, row=1):
        alone = vlm(input_ids=tokens[None], pixel_values=pixels[1:]).logits[0, -len(inside) :]
        torch.testing.assert_close(together[1, inside], alone, atol=1e-4, rtol=1e-4)


def test_an_examination_of_the_same_seed_gives_the_same_marks():
    torch.manual_seed(0)
    model = new_language_model().eval()

    assert examine_language(model, new_exam(3, 4)) == examine_language(model, new_exam(3, 4))


def test_an_examination_marks_every_kind_and_relation():
    torch.manual_seed(0)
    marks = examine_language(new_language_model().eval(), new_exam(3, 20))

    assert {"spatial", "spatial: far from", "statement: above", "describe", "where"} <= set(marks)
    assert all(0 <= mark <= 1 for mark in marks.values())
    assert marks["describe"] == pytest.approx(0.0)
