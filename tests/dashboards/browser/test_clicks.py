"""Pages as a person uses them: clicks, what is seen then, and the address that it leaves."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, text
from stage_runs.own_prompt_run import RandomRun, random_run
from stage_runs.served_model import served

from feature_atlas.etl.own_prompt.model_service import ModelService


@pytest.fixture(scope="module")
def random(loaded_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomRun]:
    """A random model, in the place of the one that the run was built with."""
    with loaded_engine.connect() as connection, pytest.MonkeyPatch.context() as patch:
        slug = connection.scalar(text("SELECT slug FROM atlas.current_run"))
        yield random_run(tmp_path_factory.mktemp("runs") / str(slug), patch)


@pytest.fixture(scope="module")
def server(loaded_url: str, random: RandomRun, serve) -> Iterator[str]:
    with (
        served(ModelService(random.model)) as model,
        serve(loaded_url, ATLAS_MODEL_URL=model) as url,
    ):
        yield url


def test_feature_page_has_pictures_marked_tokens_and_a_head_map(page: Page, visit) -> None:
    visit("/feature?run=1&layer=1&feature=0&drives=true", "Layer 1, feature 0")

    marked = page.locator(".marked-text span[title='activation 9']").first
    expect(marked).to_have_text('left"of')
    assert "rgba(224, 142, 30" in marked.evaluate("e => getComputedStyle(e).backgroundColor")
    pictures = page.get_by_test_id("stImage").locator("img")
    # 3 top samples and where the feature fires on one, per overlay sample the picture with two
    # heads, and with three heads that of the custom prompt
    expect(pictures).to_have_count(3 + 1 + 3 * 3 + 4)
    page.wait_for_function(
        "[...document.querySelectorAll('[data-testid=stImage] img')]"
        ".every(i => i.complete && i.naturalWidth >= 240)"
    )
    expect(page.locator(".heatmaplayer .hm")).to_have_count(2)
    expect(page.get_by_text("asks for left of").first).to_be_visible()

    page.get_by_text("The same feature in other runs").click()

    expect(page.get_by_text("No other published run")).to_be_visible()
    assert "runs=true" in page.url
    assert "drives=true" in page.url


def test_overview_leads_to_the_other_pages(page: Page, visit) -> None:
    visit("/", "Feature atlas")
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    assert "run=1" in page.url

    page.get_by_role("link", name="Ablation").click()

    expect(page.get_by_role("heading", name="Ablation", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="The paper", exact=True)).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_clicked_point_is_listed_with_a_link_to_its_page(page: Page, visit) -> None:
    visit("/", "Feature atlas")
    points = page.locator(".js-plotly-plot").nth(2).locator(".scatterlayer .point")
    points.first.wait_for(state="attached")
    points.first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # the chart still grows into its place

    points.first.hover(force=True)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.down()
    page.mouse.up()

    listed = page.get_by_text(re.compile(r"^\d+ features? in the selection$"))
    expect(listed).to_be_visible()


def test_next_survivor_is_a_link(page: Page, visit) -> None:
    visit("/feature?run=1&layer=0&feature=3", "Layer 0, feature 3")

    page.get_by_role("link", name="L1 F0").click()

    expect(page.get_by_role("heading", name="Layer 1, feature 0", exact=True)).to_be_visible()
    assert "layer=1&feature=0" in page.url


def test_a_search_is_a_link_and_its_words_are_data(page: Page, visit) -> None:
    visit("/search?run=1&q=left+of", "Search")
    words = page.get_by_role("textbox", name="Words")
    expect(words).to_have_value("left of")
    expect(page.get_by_text("12 features", exact=True)).to_be_visible()

    words.fill("above")
    words.press("Enter")

    expect(page.get_by_text("10 features", exact=True)).to_be_visible()
    assert "q=above" in page.url

    # a request for the picture would leave this machine, which the fixture notes
    words.fill('zebra <img src="http://elsewhere.example/x.png">')
    words.press("Enter")

    expect(page.get_by_text("No feature of this run matches")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_what_is_chosen_on_a_page_is_in_its_address_and_a_copy_of_it_opens_the_same(
    page: Page,
    visit,
) -> None:
    visit("/heads?run=1", "Heads")
    page.get_by_role("radio", name="causal").click()
    expect(page).to_have_url(re.compile("map=causal"))
    for label, choice in (("Layer of the head", "0"), ("Head", "3")):
        page.get_by_role("combobox", name=label, exact=False).last.click()
        page.get_by_role("option", name=choice, exact=True).click()
    expect(page.get_by_role("heading", name="Head L0H3", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("head=3.*head_layer=0"))

    visit(page.url, "Head L0H3")

    expect(page.locator(".js-plotly-plot")).to_have_count(1)


def test_a_saved_query_with_another_value_is_an_address_and_a_parquet_file(
    page: Page, visit, tmp_path: Path
) -> None:
    visit("/sql?saved=spatial-odds", "SQL")
    least = page.get_by_role("textbox", name="least")
    expect(least).to_have_value("2.0")
    least.fill("3.5")
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("saved=spatial-odds.*least=3.5|least=3.5.*saved="))

    visit(page.url, "SQL")

    expect(page.get_by_role("textbox", name="least")).to_have_value("3.5")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Parquet").click()
    download.value.save_as(tmp_path / "answer.parquet")
    found = pd.read_parquet(tmp_path / "answer.parquet")
    assert len(found) > 0
    assert (found.spatial_odds_ratio_low > 3.5).all()
    assert found.dtypes["layer"] == "int16"


def test_ones_own_picture_is_tried_by_clicking(page: Page, visit, random: RandomRun) -> None:
    visit("/try", "Try it")
    expect(
        page.get_by_text("has no picture")
    ).to_be_visible()  # none of the made-up run's has a file

    page.set_input_files("input[type=file]", str(random.pictures[0]))
    page.get_by_role("textbox", name="Question").fill("is the red circle left ?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is the red circle left ?  →")).to_be_visible()
    expect(page).to_have_url(re.compile(r"question=is\+the\+red\+circle\+left"))

    picture = page.locator(".js-plotly-plot .nsewdrag").first
    box = picture.bounding_box()
    assert box is not None
    # 56 x 28 pixels; the middle square is cut into 2 x 2 patches, of which this is the last
    picture.click(position={"x": box["width"] * 35 / 56, "y": box["height"] * 21 / 28})
    expect(page).to_have_url(re.compile(r"token=3(&|$)"))

    table = page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 17, "y": 35 * 3 + 17})
    expect(page).to_have_url(re.compile(r"feature=[01]%2F\d+"))
