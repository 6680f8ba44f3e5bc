"""Tasks and attacks on an atlas of two runs in which every text is hostile."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode

import pytest
from databases import create_database
from made_up.hostile import ELSEWHERE, WORDS, say_everywhere
from playwright.sync_api import Page, expect
from run_folder import write_run_folder
from sqlalchemy import Engine, Row, text

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

ALL_OPEN = "&".join(
    f"{section}=true"
    for section in ("what", "fires", "writes", "changed", "drives", "breaks", "runs")
)
ADDRESSES = (
    "/?run=2",
    "/layers?run=2&layers_part=by+chance",
    "/sql",
    "/explore?run=2&q=left&where=is_described:yes&sort=-f1",
    f"/feature?run=2&layer=0&feature=0&{ALL_OPEN}",
    "/search?run=2&q=left",
    "/ablation?run=2",
    "/ablation?run=2&removal=several+together",
    "/ablation?run=2&removal=added+instead",
    "/ablation?run=2&removal=other+ways+to+remove",
    f"/shift?run=2&skill={quote('vsr' + WORDS)}",
    "/heads?run=2",
    "/heads?run=2&head_layer=0&head=0",
    "/compare?a=1&b=2&drift=label",
    "/compare?a=1&b=2&part=camps",
    "/compare?show=a+series&series=1,2&features=0/0",
    "/compare?show=two+features&a=1&b=2&a_layer=0&a_feature=0&b_layer=0&b_feature=0",
    "/runs?run=2&table=example&column=max_activation",
    "/try?run=2",
)
"""Every page that shows words of the data, with all that it folds open."""

NONSENSE = {
    "": [],
    "explore": ["where", "sort", "q", "x", "y", "after"],
    "feature": [
        "layer",
        "feature",
        "examples",
        "source",
        "shown",
        "part",
        *ALL_OPEN.split("=true&"),
    ],
    "search": ["q"],
    "ablation": ["removal", "group", "steered", "asked"],
    "shift": ["skill", "shift_part", "level"],
    "heads": ["heads_part", "map", "method", "over", "head_layer", "head"],
    "thresholds": ["epsilon", "bottom"],
    "compare": [
        "show",
        "a",
        "b",
        "drift",
        "metric",
        "camps",
        "way",
        "surprise",
        "series",
        "turned",
    ],
    "layers": ["layers_part", "regime", "spread", "layer_of_curve", "role"],
    "runs": ["table", "column"],
    "try": ["sample", "question", "layer", "by", "feature", "token"],
}
"""Pages with what their addresses may choose."""

HARM = f"""() => {{
    const away = [...document.querySelectorAll("a, img, iframe, script, link, image")].filter(e =>
        ["href", "src", "xlink:href"].some(n => (e.getAttribute(n) || "").includes("{ELSEWHERE}")));
    const marked = [...document.querySelectorAll("strong, .katex, code")].filter(e =>
        ["bold", "x^2"].some(w => e.textContent.trim() === w) || e.className.includes("katex"));
    return [window.hit || null, ...[...away, ...marked].map(e => e.outerHTML.slice(0, 200))];
}}"""


FIRST_LINK = {"x": 62, "y": 35 + 17}
"""Of a table, in its first row, beside the box that selects it."""


@pytest.fixture(scope="module")
def hostile(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Two runs whose every text is hostile, with reviews and labels of the base features."""
    engine = make_engine(create_database(postgres_url, "hostile", template_database))
    for seed in (0, 1):
        ingest(write_run_folder(tmp_path_factory.mktemp("hostile"), seed=seed), engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, note,"
                " reviewer) VALUES (2, 0, 0, 'edit', 'left', 'a note', 'a reviewer')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO atlas.base_label (sae_set_id, layer, feature, description, model,"
                " source, external_id) SELECT id, 0, 0, 'a base label', 'a model', 'neuronpedia',"
                " 'x' FROM atlas.sae_set"
            )
        )
        say_everywhere(connection)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def server(hostile: Engine, serve) -> Iterator[str]:
    with serve(hostile.url.set(drivername="postgresql").render_as_string(False)) as url:
        yield url


@contextmanager
def away(engine: Engine) -> Iterator[None]:
    """The database ends every connection and takes none, as while its server is down."""
    name = engine.url.database
    with make_engine(str(engine.url.set(database="postgres"))).connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        yield
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


def most_turned(engine: Engine) -> tuple[int, int]:
    """Layer and feature of the one about "above" that vision turned most."""
    return one_row(
        engine,
        "SELECT layer, feature FROM atlas.feature_record JOIN atlas.search('above', 2, 1000) AS"
        " found USING (layer, feature) WHERE feature_record.run_id = 2 AND is_turned_by_vision"
        " ORDER BY cosine LIMIT 1",
    )


def strongest_cause(engine: Engine) -> str:
    """Its head whose real swap proved a cause, the strongest by both methods."""
    layer, feature = most_turned(engine)
    (head,) = one_row(
        engine,
        "SELECT format('L%sH%s', head_layer, head) FROM atlas.driving_head WHERE run_id = 2"
        f" AND layer = {layer} AND feature = {feature} AND evidence = 'causal'"
        " ORDER BY mean_drive DESC, head_layer, head LIMIT 1",
    )
    return head


def label_of(engine: Engine, feature: tuple[int, int]) -> str:
    where = "layer = {} AND feature = {}".format(*feature)
    (label,) = one_row(engine, f"SELECT label FROM atlas.feature WHERE {where}")
    return label


def one_row(engine: Engine, sql: str) -> Row:
    with engine.connect() as connection:
        return connection.execute(text(sql)).one()


def title_of(feature: tuple[int, int]) -> str:
    return "Layer {}, feature {}".format(*feature)


def test_no_page_takes_the_words_of_the_data_for_more_than_words(page: Page, settled) -> None:
    shown = []
    for address in ADDRESSES:
        page.goto(address)
        settled(page)
        assert page.evaluate(HARM) == [None], address
        shown.append(WORDS in page.evaluate("document.documentElement.textContent"))
    # the words of tables are drawn, not in the document
    assert sum(shown) > len(ADDRESSES) / 2


def test_an_address_of_nonsense_opens_a_page_that_says_so_or_its_first_view(
    page: Page, settled
) -> None:
    for name, choices in NONSENSE.items():
        page.goto(f"/{name}?{urlencode({'run': 2} | dict.fromkeys(choices, WORDS))}")
        settled(page)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate(HARM) == [None], name


def test_a_page_waits_for_a_database_that_is_gone_and_goes_on_by_itself(
    page: Page, visit, settled, hostile: Engine
) -> None:
    visit("/layers?run=2", "Layers")

    with away(hostile):
        page.get_by_role("link", name="Explore").click()
        expect(page.get_by_text("The database does not answer")).to_be_visible()
        settled(page)

    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    expect(page.get_by_text("The database does not answer")).to_have_count(0)


def test_two_tabs_keep_their_own_choices(open_tab, settled) -> None:
    one, other = open_tab(), open_tab()
    for tab, run in ((one, 1), (other, 2)):
        tab.goto(f"/heads?run={run}")
        settled(tab)

    one.get_by_role("radio", name="causal").click()
    expect(one).to_have_url(re.compile("map=causal"))
    other.get_by_role("link", name="Layers").click()
    one.get_by_role("link", name="Layers").click()

    for tab, run in ((one, 1), (other, 2)):
        expect(tab).to_have_url(re.compile(rf"/layers\?run={run}$"))
        settled(tab)
    other.go_back()
    if "/layers" in other.url:  # written in two steps; a browser's own button passes over the first
        other.go_back()
    expect(other).to_have_url(re.compile(r"/heads\?run=2$"))
    expect(other.get_by_role("radio", name="causal")).not_to_be_checked()


def test_a_list_made_in_explore_is_shared_by_its_address_and_joined_in_sql(
    page: Page, visit, settled, open_tab, hostile: Engine
) -> None:
    visit("/explore?run=2&where=is_turned_by_vision:yes", "Explore")
    for row in (0, 2):
        page.get_by_test_id("stDataFrame").first.click(position={"x": 17, "y": 35 * (row + 1) + 17})
        settled(page)
    page.get_by_role("button", name="Add 2 to a list").click()
    page.get_by_role("combobox", name="List").fill(f"mine {WORDS}"[:200])
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Your name").fill("a reader")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("link", name="Open the list").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("mine")

    another = open_tab()
    another.goto(page.url)
    expect(another.get_by_text("2 features")).to_be_visible()
    settled(another)
    assert another.evaluate(HARM) == [None]
    # the feature's page names its lists
    turned = "is_turned_by_vision AND run_id = 2 ORDER BY cosine LIMIT 1"
    first = one_row(hostile, f"SELECT layer, feature FROM atlas.feature_all_runs WHERE {turned}")
    another.goto("/feature?run=2&layer={}&feature={}".format(*first))
    expect(another.get_by_role("link", name="mine")).to_be_visible()
    assert another.evaluate(HARM) == [None]
    another.goto(page.url)
    another.get_by_text("The same in SQL").click()
    another.get_by_role("link", name="Run and change it").click()

    # pages read as a role that may not write
    expect(another.get_by_text(re.compile("^2 rows"))).to_be_visible()


def test_the_five_tasks_of_a_reader_are_done_by_clicking(
    page: Page, visit, settled, hostile: Engine
) -> None:
    visit("/", "Feature atlas")

    # the feature that vision turned most, of those about "above"
    page.get_by_role("link", name="Explore").click()
    page.get_by_role("textbox", name="Words").fill("above")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=above"))
    page.get_by_role("button", name="Turned by vision").click()
    expect(page).to_have_url(re.compile("where=is_turned_by_vision"))
    settled(page)
    page.get_by_test_id("stDataFrame").hover(position=FIRST_LINK)
    with page.context.expect_page() as opened:
        page.get_by_test_id("stDataFrame").click(position=FIRST_LINK)
    feature = opened.value
    expect(feature.get_by_role("heading", name=title_of(most_turned(hostile)))).to_be_visible()

    # where its strongest causal head looks on a picture
    said = feature.get_by_text(re.compile(r"^L\dH\d, a cause when swapped for real"))
    head = said.inner_text().split(",")[0]
    assert head == strongest_cause(hostile)
    feature.get_by_text("What drives it").click()
    expect(feature.get_by_text(re.compile(f"^{head} · .*on it")).first).to_be_visible()

    # what it fires on most of the time
    feature.get_by_text("When it fires").click()
    feature.get_by_role("radio", name="by quantile").click()
    expect(feature.get_by_text("tenth 6 of 10").first).to_be_visible()

    # a better label, at once in SQL
    feature.get_by_text("What it is").click()
    feature.get_by_role("radiogroup").get_by_text("edit", exact=True).click()
    feature.get_by_role("textbox", name="Own words").fill("things above others")
    save = feature.get_by_role("button", name="Save the review")
    form = feature.get_by_test_id("stForm").filter(has=save)
    form.get_by_role("textbox", name="Your name").fill("a reader")
    save.click()
    expect(feature.get_by_text("Saved.")).to_be_visible()
    assert label_of(hostile, most_turned(hostile)) == "things above others"

    # what changed since the run before
    feature.get_by_role("link", name="Overview").click()
    feature.get_by_role("link", name="What changed since the run before?").click()
    expect(feature.get_by_role("heading", name="Drift")).to_be_visible()
    expect(feature).to_have_url(re.compile("a=1&b=2|b=2&a=1"))
    settled(feature)
