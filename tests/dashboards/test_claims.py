"""The paper's claims on the Overview."""

from feature_atlas.dashboards import queries


def test_the_overview_has_every_claim_with_its_verdict(full_atlas, open_page) -> None:
    app = open_page()
    claims = queries.claims(int(queries.runs().run_id[0]))

    assert not app.exception
    assert "The paper's claims in this run" in [element.value for element in app.subheader]
    (table,) = [frame.value for frame in app.dataframe if "verdict" in frame.value]
    assert table.verdict.tolist() == claims.verdict.tolist()
    assert len(table) == 25
    assert table.rows.str.startswith("sql?saved=").all()
