"""Every query of docs/analyst.md and README.md, and the notebook, on the ledger that the commands of
docs/analyst.md make.

The queries run on both databases.
"""

import json
import re
import subprocess
import sys
import warnings
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from forecasting.publish.messages import newest_digest
from forecasting.report.digest import digest_markdown
from forecasting.settings import Settings
from forecasting.store import connect, write
from forecasting.store.schema import fetches
from tests import cookbook
from tests.conftest import DATABASES
from tests.guides import blocks
from tests.postgres import copied, fresh_postgres
from tests.store.rows import at, model_row, run_row

pytestmark = pytest.mark.slow

SYMBOL = "^GSPC"
TEXT = cookbook.DOCUMENT.read_text(encoding="utf-8")
README = (cookbook.ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = {recipe.title: recipe for recipe in cookbook.recipes(TEXT)}
TOLERANCE = 0.05
"""Between machines a fit differs in the last digits, and what follows from it by more."""


@pytest.fixture(scope="module")
def sqlite_ledger(tmp_path_factory):
    with (
        warnings.catch_warnings(),
        cookbook.ledger(tmp_path_factory.mktemp("cookbook"), TEXT) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def postgres_ledger(sqlite_ledger, postgres_server, migrated_postgres):
    with fresh_postgres(postgres_server, template=migrated_postgres) as url:
        copied(sqlite_ledger, url)
        yield url


@pytest.fixture(params=DATABASES)
def ledger(request):
    return request.getfixturevalue(f"{request.param}_ledger")


def cells(answer):
    """The cells of each line of an answer, by the columns that its rule marks."""
    names, rule, *rows = answer.splitlines()
    spans = [found.span() for found in re.finditer("-+", rule)]
    return [[line[first:last].strip() for first, last in spans] for line in (names, *rows)]


def matches(found, expected, tolerance):
    """Whether two cells have the same words, and numbers that are nearly the same."""
    number = r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
    if re.sub(number, "#", found) != re.sub(number, "#", expected):
        return False
    numbers = [
        [float(text.replace(",", "")) for text in re.findall(number, cell)]
        for cell in (found, expected)
    ]
    pairs = zip(*numbers, strict=True)
    return all(
        one == pytest.approx(other, rel=tolerance, abs=tolerance / 2) for one, other in pairs
    )


@pytest.mark.parametrize("title", RECIPES)
def test_a_query_has_the_answer_of_the_document(ledger, title):
    """The same columns and as many rows, each cell as `matches`.

    `python -m tests.cookbook` writes the answers anew.
    """
    answer = cookbook.answer(ledger, RECIPES[title].query)
    if cookbook.NO_ROWS in (answer, RECIPES[title].answer):
        assert answer == RECIPES[title].answer
        return
    found = cells(answer)
    wanted = cells(RECIPES[title].answer)
    assert (found[0], len(found)) == (wanted[0], len(wanted))
    for row, other in zip(found[1:], wanted[1:], strict=True):
        for name, cell, expected in zip(found[0], row, other, strict=True):
            assert "seconds" in name or matches(cell, expected, TOLERANCE), (row, other)


def test_every_query_of_the_readme_answers_of_replays_too_and_names_one_target(ledger):
    found = cookbook.queries(README)
    assert len(found) == 3
    for query in found:
        assert "target = 'volume'" in query
        here = query.replace("'SBUX'", f"'{SYMBOL}'")
        assert cookbook.answer(ledger, here) != cookbook.NO_ROWS


@pytest.mark.parametrize("name", DATABASES)
def test_the_digest_of_these_nights_is_that_of_the_desk_guide(sqlite_ledger, name, request):
    (printed, *_) = blocks((cookbook.ROOT / "docs" / "desk.md").read_text(encoding="utf-8"), "text")
    url = request.getfixturevalue(f"{name}_url")
    copied(sqlite_ledger, url)
    # They were made today, and are read as on the morning after the last session
    morning = at("2019-01-02T10:30")
    with connect.transaction(url) as connection:
        connection.execute(fetches.update().values(fetched_at=morning))
    settings = Settings(database_url=SecretStr(url), source="sample")
    found = digest_markdown(newest_digest(settings, now=lambda: morning)).partition("\n\nUsual is")[
        0
    ]
    assert matches(found, printed.rstrip(), TOLERANCE), found


def outputs(notebook):
    """The text of every output, words and numbers one space apart."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = [
        "".join(output["data"]["text/plain"])
        for cell in cells
        for output in cell.get("outputs", [])
    ]
    return [" ".join(text.split()) for text in texts]


def test_the_notebook_runs_and_has_its_outputs(sqlite_ledger, tmp_path):
    """`python -m tests.notebook` writes the outputs anew.

    In a process of its own, for Jupyter warns of much.
    """
    folder = Path(sqlite_ledger.removeprefix("sqlite:///")).parent
    written = tmp_path / "executed.ipynb"
    command = [sys.executable, "-m", "tests.notebook", str(folder), str(written)]
    ran = subprocess.run(
        command, cwd=cookbook.ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    found = outputs(written)
    expected = outputs(cookbook.ROOT / "docs" / "forecasts.ipynb")
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        # One of 13 actuals more inside an interval is 0.08
        assert matches(one, other, 4 * TOLERANCE), (one, other)


@pytest.fixture(params=DATABASES)
def seeded(request):
    """A ledger with what the sample lacks.

    A failed night, a restated bar, a refused fit, an open finding.
    """
    url = request.getfixturevalue(f"{request.param}_url")
    night = at("2018-12-28T22:00")
    day = date(2018, 12, 27)
    of_symbol = {"symbol": SYMBOL, "session": day, "fetch_id": "f1"}
    fetch = {
        "id": "f1",
        "source": "sample",
        "symbol": SYMBOL,
        "title": "S&P 500",
        "row_count": 1,
        "verdict": "revised",
        "first_asked": day,
        "last_asked": day,
        "fetched_at": night,
        "payload_hash": "0",
        "library_version": "1",
    }
    bar = of_symbol | {"first_seen_at": night, "superseded_at": night}
    finding = {"id": "x", "rule": "price_spike", "severity": "flag"}
    with connect.transaction(url) as connection:
        write.add(connection, "fetches", fetch)
        # restated; split 2 for 1
        for version, (volume, close) in enumerate(((100, 8.0), (120, 8.0), (240, 4.0)), 1):
            numbers = {"version": version, "volume": volume, "close": close}
            write.add(connection, "bar_versions", bar | numbers)
        detail = {"detail": "twice the day before"}
        write.add(connection, "findings", of_symbol | finding | detail)
        failed = {"symbol": SYMBOL, "status": "failed", "error": "No usable response."}
        write.add(connection, "runs", run_row("r1", "2018-12-28", **failed))
        refused = {"symbol": SYMBOL, "refused": "not finite", "trained_to": day}
        write.add(connection, "models", model_row("m1", **refused))
    return url


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("Which nights failed or were late?", "2018-12-28|failed|No usable response."),
        ("Which bars were restated, and by how much?", "2018-12-27|2|100|120|20"),
        (
            "How was the network fitted, and which fits were refused?",
            "2018-12-27|scratch|0|not finite",
        ),
        (
            "What is wrong with the stored bars?",
            "2018-12-27|price_spike|flag|twice the day before",
        ),
    ],
)
def test_a_query_finds_what_the_sample_lacks(seeded, title, row):
    """Of the bars, the restated volume and not the split after it."""
    answer = cookbook.answer(seeded, RECIPES[title].query)
    assert cells(answer)[1:] == [row.split("|")]
