"""Every question of the cookbook, asked as a reader."""

import pytest
from cookbook import RECIPES, Recipe, recipes
from sqlalchemy import Engine

from feature_atlas.models.user_sql import run_user_sql


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_every_question_has_an_answer(recipe: Recipe, reader: Engine):
    answer = run_user_sql(reader, recipe.sql, max_rows=1000, values=recipe.values)

    assert answer.names
    assert answer.rows or recipe.may_be_empty


def test_there_are_questions_enough_and_most_cannot_be_empty():
    assert len(RECIPES) == len(recipes()) > 30
    assert sum(not recipe.may_be_empty for recipe in RECIPES.values()) > 25


def test_they_are_asked_as_the_reader(reader: Engine):
    answer = run_user_sql(reader, "SELECT current_user, session_user", max_rows=1)

    assert answer.rows == [("atlas_reader", "atlas_reader")]
