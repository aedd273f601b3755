"""Rivals: the user's own forecasts, stored and scored beside a night's own."""

import io
import threading
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import forecasting as fc
from flows import clock
from forecasting.audit.backtest import BacktestSpec, backtest
from forecasting.errors import UsageError
from forecasting.evaluate import comparison
from forecasting.evaluate.figures import forecast_frame
from forecasting.night.night import RunOptions
from forecasting.night.plan import planned_nights
from forecasting.predict import rivals
from forecasting.publish.messages import newest_digest
from forecasting.publish.pages import report_path
from forecasting.report import wording
from forecasting.report.record import TrackRecord
from forecasting.sessions import shift
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, lock, read, write
from forecasting.store.read.runs import Lead
from forecasting.store.schema import forecasts, metadata
from forecasting.targets import TARGETS
from forecasting.vocabulary import BASELINES, HORIZONS, QUANTILE_COLUMNS, QUANTILES
from tests.builders import (
    EVE,
    LAST,
    csv_of_small_night,
    no_events,
    random_bars,
    set_small_fits,
)
from tests.ingest.sources.test_plugins import install
from tests.nights import ON_BOTH_DATABASES, after, night, rows, timeless

pytestmark = pytest.mark.usefixtures("plain_flows")

BEFORE = date(2024, 3, 6)
NEXT = date(2024, 3, 11)
Q = list(QUANTILE_COLUMNS)
PROJECT = """
[project]
name = "own-forecasters"
version = "1.0"
[project.entry-points."forecasting.forecasters"]
own = "own_forecasters:Own"
[tool.setuptools]
py-modules = ["own_forecasters"]
"""


@pytest.fixture
def house(night_folder, monkeypatch):
    """Write the file that the settings name as the rival `house`, its lines after a header."""

    def write_lines(*lines, header="symbol,target_session,q50"):
        path = night_folder.parent / "house.csv"
        path.write_text("\n".join([header, *lines, ""]))
        monkeypatch.setenv("FORECASTING_RIVALS", f"house={path}")

    return write_lines


@pytest.fixture
def own(night_folder, monkeypatch):
    """Install a class whose call is `body`, which the settings name as the rival `own`."""

    def install_class(body):
        code = "class Own:\n    def __init__(self, argument):\n        self.n = int(argument)\n"
        code += f"    def __call__(self, history, ahead):\n        {body}\n"
        install(night_folder.parent / "site", monkeypatch, code=code, project=PROJECT)
        monkeypatch.setenv("FORECASTING_RIVALS", "own=own:20")
        rivals._made.cache_clear()

    return install_class


def night_after(monkeypatch, session):
    """Run what is missing on the morning after a session."""
    monkeypatch.setattr(clock, "now", after(session))
    night(session)


def stored():
    return {str(row["target_session"]): row for row in rows("forecasts", role="rival")}


def notes():
    return [row["note"] for row in rows("runs") if row["note"]]


def bars():
    """The volumes of the test's file, by day."""
    table = pd.read_csv(io.StringIO(csv_of_small_night()), index_col="Date")
    values = map(float, table["Volume"])  # whose text is a number, as numpy's is not
    return pd.Series([*values], [date.fromisoformat(day) for day in table.index], dtype=object)


@ON_BOTH_DATABASES
def test_a_file_is_stored_once_and_scored(house, monkeypatch):
    house(f"TEST,{LAST},3000000", f"TEST,{NEXT},3000000", "OTHER,2024-03-08,1")
    night_after(monkeypatch, EVE)
    (row,) = stored().values()
    assert (row["kind"], row["horizon"], row["q50"]) == ("live", 1, 3e6)
    house(f"TEST,{LAST},2000000", f"TEST,{NEXT},3100000")
    night_after(monkeypatch, LAST)
    assert stored()[str(LAST)] == row  # as it was first seen
    assert stored()[str(NEXT)]["q50"] == 3.1e6
    (score,) = rows("counted_scores", forecaster="house")
    assert score["error"] == 3e6 - score["actual"]
    (note,) = notes()
    assert note.startswith("Rival house: ")
    assert "changed in its file since: 1 row." in note


def test_a_row_that_came_after_its_session_had_opened_is_never_live(house, monkeypatch):
    monkeypatch.setattr(clock, "now", after(LAST))
    house(f"TEST,{LAST},3000000")
    night(EVE)  # made afterwards, as by catch-up, from a file that may have seen its session
    night(LAST)
    assert [row["kind"] for row in stored().values()] == ["replay"]
    assert [row["kind"] for row in rows("counted_scores", forecaster="house")] == ["replay"]


@pytest.mark.parametrize(("hours", "kind"), [(14, "live"), (20, "late"), (26, "replay")])
def test_a_run_with_nothing_new_reads_the_rows_that_came_after_its_night(
    house, monkeypatch, hours, kind
):
    night_after(monkeypatch, EVE)
    tables = ("runs", "fetches", "bar_versions", "models", "forecasts", "scores", "standings")
    before = {name: rows(name) for name in tables}
    monkeypatch.setattr(clock, "now", after(EVE, hours=hours))
    for median in (3e6, 9e6):
        house(f"TEST,{LAST},{median}")
        night(EVE)
    assert [(row["kind"], row["q50"]) for row in stored().values()] == [(kind, 3e6)]
    now = {name: rows(name) for name in tables}
    now["models"] = [row for row in now["models"] if row["method"] != "rival"]
    now["forecasts"] = [row for row in now["forecasts"] if row["role"] != "rival"]
    assert now == before


@pytest.mark.usefixtures("real_pages")
def test_a_row_that_comes_later_of_a_stored_origin_is_stored_too(house, monkeypatch):
    header = "symbol,target_session,q50,origin_session"
    house(f"TEST,{LAST},3e6,{EVE}", header=header)
    night_after(monkeypatch, EVE)
    before = stored()
    house(f"TEST,{LAST},4e6,{EVE}", f"TEST,{NEXT},3.5e6,{EVE}", header=header)
    night(EVE)
    assert {day: row["q50"] for day, row in stored().items()} == {str(LAST): 3e6, str(NEXT): 3.5e6}
    assert stored()[str(LAST)] == before[str(LAST)]
    assert "changed in its file since: 1 row." in notes()[0]
    page = report_path(read_settings(), "TEST", "volume").read_text()
    assert "changed in its file since: 1 row." in page


def test_a_file_is_compared_with_the_newest_stored_origin_alone(house, monkeypatch):
    house(f"TEST,{EVE},3e6", f"TEST,{LAST},3e6")
    night_after(monkeypatch, BEFORE)
    night_after(monkeypatch, EVE)
    before = stored()
    assert [*before] == [str(EVE), str(LAST)]
    house(f"TEST,{EVE},4e6", f"TEST,{LAST},4e6", f"TEST,{NEXT},3e6")
    night_after(monkeypatch, LAST)
    (note,) = notes()
    # Both rows changed, and the first is of an older origin.
    assert "changed in its file since: 1 row." in note
    assert stored() == before | {str(NEXT): stored()[str(NEXT)]}


def planned():
    """The nights of a run now."""
    with lock.night_lock(read_settings().url):
        return planned_nights(read_settings(), RunOptions(EVE, EVE), now=clock.now)


def test_a_night_is_planned_again_only_for_what_a_file_has_more(house, monkeypatch):
    house(f"TEST,{NEXT},3000000")
    night_after(monkeypatch, EVE)
    assert planned() == []
    house(f"TEST,{LAST},3000000")
    assert [night.is_for_rivals for night in planned()] == [True]
    assert stored() == {}  # a plan writes nothing
    night(EVE)
    house(f"TEST,{LAST},4000000")
    assert planned() == []
    house(f"TEST,{LAST},4000000", f"TEST,{NEXT}", header="symbol,target_session")
    assert planned() == []


def test_a_night_is_planned_again_for_a_class_until_it_has_forecast(own, monkeypatch):
    own("raise RuntimeError('no model')")
    night_after(monkeypatch, EVE)
    assert [night.is_for_rivals for night in planned()] == [True]
    monkeypatch.setattr(rivals, "_made", lambda option: lambda history, ahead: 3e6)
    night(EVE)
    assert notes() == []
    assert planned() == []


def earlier_scores(sessions, factors):
    """Store that the rival forecast each session one ahead, its actual value times a factor."""
    volumes = bars()
    with connect.transaction(read_settings().url) as connection:
        of_rival = forecasts.select().where(forecasts.c.role == "rival")
        row = dict(connection.execute(of_rival).mappings().one())
        for session, factor in zip(sessions, factors, strict=True):
            moved = {"origin_session": shift(session, -1), "target_session": session}
            moved["kind"] = "replay"
            names = ("symbol", "target", "horizon", "model_id")
            score = {name: row[name] for name in names} | moved
            score |= {"stage": "first_print", "bar_version": 1, "actual": volumes[session]}
            score |= {"error": volumes[session] * (factor - 1), "pinball": 1, "interval_score": 1}
            score |= {"inside_80": True, "inside_90": True, "scored_at": row["issued_at"]}
            write.add(connection, "forecasts", row | moved)
            write.add(connection, "scores", score)


def test_a_medians_quantiles_are_those_of_its_own_past_errors(house, monkeypatch):
    house(f"TEST,{LAST},3000000", f"TEST,{NEXT},3000000")
    night_after(monkeypatch, EVE)
    # Nothing of it has closed: as those of the median of 20 sessions
    (usual,) = rows("models", name="rolling_median")
    (usual,) = rows("forecasts", model_id=usual["id"], horizon=1)
    expected = [3e6 * usual[name] / usual["q50"] for name in Q]
    assert [stored()[str(LAST)][name] for name in Q] == pytest.approx(expected)
    factors = np.linspace(0.8, 1.25, 30)
    earlier_scores(bars().index[-32:-2], factors)
    night_after(monkeypatch, LAST)
    offsets = np.quantile(-np.log(factors), QUANTILES)
    expected = 3e6 * np.exp(offsets - offsets[3])
    assert [stored()[str(NEXT)][name] for name in Q] == pytest.approx(expected)


@pytest.mark.parametrize(
    "given", [{1: 2.5e6, 5: 4.5e6}, {5: 4e6}, {0: 1e6, 2: 2e6}, {2: 3e6, 4: 3e6}]
)
def test_a_median_that_is_missing_comes_from_its_own_past_errors(house, monkeypatch, given):
    """Between two quantiles as these part the way between them, beside one as far off as these."""
    header = ",".join(["symbol,target_session", *(Q[place] for place in given)])
    values = ",".join(map(str, given.values()))
    house(f"TEST,{LAST},{values}", f"TEST,{NEXT},{values}", header=header)
    night_after(monkeypatch, EVE)
    factors = np.linspace(0.8, 1.25, 30)
    earlier_scores(bars().index[-32:-2], factors)
    night_after(monkeypatch, LAST)
    offsets = np.quantile(-np.log(factors), QUANTILES)
    first, last = min(given), max(given)
    expected = []
    for place, offset in enumerate(offsets):
        nearest = first if place <= first else last
        expected.append(given[nearest] * np.exp(offset - offsets[nearest]))
        if first < place < last:
            way = (offset - offsets[first]) / (offsets[last] - offsets[first])
            expected[-1] = given[first] * (given[last] / given[first]) ** way
    row = stored()[str(NEXT)]
    assert [row[name] for name in Q] == pytest.approx(expected)
    assert {place: row[Q[place]] for place in given} == given
    assert notes() == []


def test_given_quantiles_stay_and_the_others_do_not_cross_them(house, monkeypatch):
    narrow = f"TEST,{LAST},2999999,3000000,3000001"
    house(narrow, header="symbol,target_session,q25,q50,q90")
    night_after(monkeypatch, EVE)
    row = stored()[str(LAST)]
    assert [row["q25"], row["q50"], row["q90"]] == [2999999, 3e6, 3000001]
    assert row["q05"] < row["q10"] < row["q25"] <= row["q75"] <= row["q90"] < row["q95"]


def test_our_own_forecast_copied_scores_as_ours(house, monkeypatch):
    night_after(monkeypatch, EVE)
    ours = rows("forecasts", role="published")
    lines = [
        ",".join(["TEST", str(row["target_session"]), str(EVE), *(repr(row[name]) for name in Q)])
        for row in ours
    ]
    house(*lines, header="Symbol,Target Session,Origin_Session," + ",".join(Q))
    monkeypatch.setattr(clock, "now", after(EVE, hours=14))
    night(EVE)
    night_after(monkeypatch, LAST)
    (pair,) = rows("model_comparison", forecaster="published", rival="house")
    assert pair["n"] == 1
    assert (pair["skill"], pair["pinball_skill"]) == (0.0, 0.0)


def test_nothing_else_depends_on_a_rival(house, monkeypatch):
    def others():
        names = ("forecasts", "forecast_parts", "scores", "total_scores", "models", "runs")
        found = {
            name: [
                row for row in timeless(name) if "rival" not in (row.get("role"), row.get("method"))
            ]
            for name in names
        }
        lines = [row for row in timeless("standings") if row["line"] != "house"]
        return found | {"standings": lines, "skill": timeless("live_skill")}

    night_after(monkeypatch, EVE)
    night_after(monkeypatch, LAST)
    without = others()
    with connect.transaction(read_settings().url) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    # Perfect: it would be chosen before any other
    house(*(f"TEST,{day},{bars()[day]}" for day in (EVE, LAST)), f"TEST,{NEXT},3000000")
    night_after(monkeypatch, EVE)
    night_after(monkeypatch, LAST)
    (score,) = rows("scores", role="rival")
    assert score["error"] == 0.0
    assert others() == without


def test_a_file_that_ends_before_the_night_has_no_wrong_rows(house, monkeypatch):
    house(f"TEST,{EVE},3000000")
    night_after(monkeypatch, EVE)
    (note,) = notes()
    assert "found none" in note
    assert "wrong" not in note


def test_wrong_rows_get_one_sentence_and_stop_nothing(house, monkeypatch):
    wrong = [
        *[f"TEST,volume,{LAST},-{number},{EVE}" for number in range(1, 1001)],
        f"TEST,,2024-03-10,3e6,{EVE}",
        f"TEST,,{LAST},many,{EVE}",
        f"TEST,,2024-03-20,3e6,{EVE}",
        f"TEST,,{LAST},,{EVE}",
        f"TEST,,{LAST},3e6,{EVE},",
        "TEST,,2030-03-11,3e6,2030-03-08",
        f"TEST,range,{LAST},0.01,{EVE}",
    ]
    header = "symbol,target,target_session,q50,origin_session"
    house(*wrong, header=header)
    night_after(monkeypatch, EVE)
    assert stored() == {}
    (note,) = notes()
    assert note.startswith("Rival house: Expected rows of TEST volume and the origin 2024-03-07")
    assert "of 1,006 rows 1,005 are wrong, line 2, 3, 4." in note
    assert rows("runs")[0]["status"] == "done"
    house(*wrong, f"TEST,,{LAST},3e6,{EVE}", f"TEST,,{LAST},4e6,{EVE}", header=header)
    monkeypatch.setattr(clock, "now", after(EVE, hours=14))
    night(EVE)
    assert stored()[str(LAST)]["q50"] == 3e6
    assert notes() == []


@pytest.mark.parametrize(
    ("column", "form"), [("origin_session", "{}"), ("made_at", "{}T22:00-05:00")]
)
def test_a_row_is_of_the_origin_that_it_states(house, monkeypatch, column, form):
    lines = [f"TEST,{NEXT},{form.format(session)},3e6" for session in (BEFORE, EVE, LAST)]
    house(*lines, header=f"symbol,target_session,{column},q50")
    night_after(monkeypatch, EVE)
    (row,) = stored().values()
    assert (row["horizon"], str(row["origin_session"])) == (2, str(EVE))


@pytest.mark.parametrize("factor", [1e-3, 100.0, 2.0])
def test_another_unit_or_share_basis_is_left_out(house, monkeypatch, factor):
    volumes = bars()
    past = [f"TEST,{session},{volumes[session] * factor}" for session in volumes.index[-32:-1]]
    house(*past, f"TEST,{LAST},{volumes[EVE] * factor}")
    night_after(monkeypatch, EVE)
    assert stored() == {}
    assert "Expected the unit and share basis of the bars" in notes()[0]


@pytest.mark.parametrize(
    "text", ["", "symbol,q50\nTEST,1\n", "symbol,target_session,q50\nOTHER,,1\n"]
)
def test_a_file_that_cannot_be_used_is_a_note_of_a_night_that_is_done(
    house, night_folder, monkeypatch, text
):
    house()
    (night_folder.parent / "house.csv").write_text(text)
    night_after(monkeypatch, EVE)
    (note,) = notes()
    assert note.startswith("Rival house: ")
    assert "house.csv" in note
    assert rows("runs")[0]["status"] == "done"


def test_a_night_that_is_killed_leaves_the_rows_of_one_that_is_not(house, monkeypatch):
    house(f"TEST,{LAST},3000000")
    monkeypatch.setattr(clock, "now", after(EVE))
    add = write.add

    def killed(connection, name, *added):
        if name == "models" and added and added[0].method == "rival":
            raise KeyboardInterrupt
        return add(connection, name, *added)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(write, "add", killed)
        night(EVE)
    assert stored() == {}
    night(EVE)
    assert len(stored()) == 1


def test_a_class_gets_what_is_known_at_the_origin_once(own, night_folder, monkeypatch):
    own(
        "assert len(ahead) == 5 and ahead.index[0] > history.index[-1]; "
        "return history['value'].tail(self.n).mean()"
    )
    night_after(monkeypatch, EVE)
    expected = bars()[:EVE].tail(20).astype(float).mean()
    assert [row["q50"] for row in stored().values()] == pytest.approx([expected] * 5)
    assert {row["kind"] for row in stored().values()} == {"live"}
    before = stored()
    monkeypatch.setattr(rivals, "_made", lambda option: None)  # it is not called again
    path = night_folder.parent / "house.csv"
    path.write_text(f"symbol,target_session,q50\nTEST,{LAST},3000000\n")
    monkeypatch.setenv("FORECASTING_RIVALS", f"own=own:20,house={path}")
    night(EVE)
    assert notes() == []
    kept = [row for row in rows("forecasts", role="rival") if row["q50"] != 3e6]
    assert {str(row["target_session"]): row for row in kept} == before
    assert len(rows("forecasts", role="rival", q50=3e6)) == 1


def test_a_class_may_give_quantiles(own, monkeypatch):
    own("import numpy as np; return 1e6 * np.arange(1, 36).reshape(5, 7)")
    night_after(monkeypatch, EVE)
    issued = [[row[name] for name in Q] for _, row in sorted(stored().items())]
    assert issued == (1e6 * np.arange(1, 36).reshape(5, 7)).tolist()


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('no model')",
        "return [1, 2]",
        "return float('nan')",
        "return -1",
        "import numpy as np; return np.arange(35, 0, -1).reshape(5, 7)",
    ],
)
def test_a_class_that_fails_is_a_note_of_a_night_that_is_done(own, monkeypatch, body):
    own(body)
    night_after(monkeypatch, EVE)
    (run,) = rows("runs")
    assert run["status"] == "done"
    assert run["note"].startswith("Rival own: ")
    assert stored() == {}


def test_a_class_that_hangs_is_a_note_of_a_night_that_is_done(own, monkeypatch):
    ended = threading.Event()
    own("pass")
    monkeypatch.setattr(rivals, "LIMIT_S", 0.0)
    monkeypatch.setattr(rivals, "_made", lambda option: lambda *_: ended.wait())
    night_after(monkeypatch, EVE)
    ended.set()
    assert "did not end within" in notes()[0]
    assert rows("runs")[0]["status"] == "done"


def test_a_rival_that_no_package_offers_is_named(night_folder, monkeypatch):
    monkeypatch.setenv("FORECASTING_RIVALS", "own=owm:20")
    night_after(monkeypatch, EVE)
    assert "forecasting.forecasters; found 'owm:20'" in notes()[0]


@pytest.mark.parametrize("name", [*BASELINES, "lstm", "published", "House", "a" * 17])
def test_a_rival_has_a_name_of_its_own(monkeypatch, name):
    monkeypatch.setenv("FORECASTING_RIVALS", f"{name}=csv:house.csv")
    with pytest.raises(UsageError, match="of up to 16"):
        read_settings()


def test_rivals_are_pairs_or_a_table(monkeypatch, tmp_path):
    (tmp_path / "forecasting.toml").write_text('rivals = {house = "house.csv", mean = "mean:20"}')
    monkeypatch.chdir(tmp_path)
    expected = {"house": f"csv:{tmp_path / 'house.csv'}", "mean": "mean:20"}
    assert read_settings().rivals == expected
    monkeypatch.setenv("FORECASTING_RIVALS", "house=h.csv, mean = mean:20")
    assert read_settings().rivals == {"house": "csv:h.csv", "mean": "mean:20"}


def test_baselines_are_those_of_the_targets():
    assert {name for rules in TARGETS.values() for name in rules.baselines} == set(BASELINES)


def standing(line, *, n, pinball, **others):
    """A row of table standings of nights on which what was published lost 1.0."""
    sums = dict.fromkeys(("error", "inside_80", "inside_90", "published_error", "squared_gap"), 1)
    of_night = {"symbol": "TEST", "target": "volume", "kind": "live", "horizon": 1}
    span = {"first_origin": BEFORE, "last_origin": EVE, "window_sessions": 250}
    row = {"line": line, "n": n, "pinball": pinball, "published_pinball": n}
    return sums | of_night | span | row | others


def test_the_digest_says_which_rival_has_been_ahead_for_sixty_nights(night_folder, monkeypatch):
    monkeypatch.setenv("FORECASTING_RIVALS", "house=house.csv,early=e.csv,worse=w.csv")
    night_after(monkeypatch, EVE)
    with connect.transaction(read_settings().url) as connection:
        write.add(
            connection,
            "standings",
            standing("house", n=60, pinball=59.0),
            standing("early", n=59, pinball=1.0),
            standing("worse", n=250, pinball=251.0),
            standing("ridge", n=250, pinball=1.0),
        )
    digest = newest_digest(read_settings(), now=clock.now)
    said = [text for text in digest.problems if "yours is ahead" in text]
    assert said == [
        "TEST volume: yours is ahead. Your house has lost less over the newest 60 nights."
    ]


LEADS = {
    "ridge": Lead(100, 0.04, 0.03),
    "har": Lead(100, 0.1, 0.1),
    "seasonal": Lead(100, -0.1, -0.1),
    "house": Lead(60, 0.02, 0.02),
    "early": Lead(59, 0.5, 0.5),
    "lstm": Lead(100, 0.0, 0.0),
}


def test_a_forecaster_of_the_next_session_alone_has_no_lead_over_five(night_folder, monkeypatch):
    night_after(monkeypatch, EVE)
    of = {"n": 60, "pinball": 120}
    with connect.transaction(read_settings().url) as connection:
        write.add(
            connection,
            "standings",
            standing("house", **of),
            standing("far", **of, horizon=5),
            *(standing("mean", **of, horizon=horizon) for horizon in HORIZONS),
        )
        found = read.leads(connection, "TEST", "volume", "live")
    assert found["house"][:2] == found["mean"][:2] == (60, 0.5)
    assert np.isnan(found["house"].five_sessions)
    assert found["mean"].five_sessions == 0.5
    assert found["far"].n == 0


def test_rivals_are_apart_from_baselines_on_a_page():
    actual = pd.DataFrame({"error": [1.0] * 60, "actual": 10.0, "horizon": 1})
    details = SimpleNamespace(record=TrackRecord(actual), leads=LEADS)
    sentence = wording.lead_sentence(details)
    assert sentence.endswith(
        "against ridge +4% (+3%), against HAR +10% (+10%), against house (yours) +2% (+2%)"
    )
    assert wording.baselines_sentence(LEADS) == "Ahead of 2 of 3 baselines one session ahead."


BARS = random_bars(days=560, seed=8)
ORIGINS = BARS.index[-20:-5]


@pytest.fixture(scope="module")
def backtests():
    """The results of a backtest without rivals, and with some that know its forecasts."""
    settings = Settings(symbols=("TEST",))
    spec = BacktestSpec(settings, ORIGINS[0].date(), ORIGINS[-1].date(), 30)
    with pytest.MonkeyPatch.context() as patch:
        set_small_fits(patch.setattr, 300)
        without = backtest(BARS, no_events(), spec=spec)
        places = {day: place for place, day in enumerate(ORIGINS)}
        own = {
            "copy": lambda history, ahead: without.issued[places[history.index[-1]]],
            "mean": lambda history, ahead: history["value"].tail(20).mean(),
            "house": BARS["volume"] * 1.1,
        }
        settings = settings.model_copy(update={"rivals": own})
        yield without, backtest(BARS, no_events(), spec=replace(spec, settings=settings))


@pytest.mark.slow
def test_a_backtest_compares_rivals_and_nothing_else_depends_on_them(backtests):
    without, found = backtests
    np.testing.assert_array_equal(found.issued, without.issued)
    for name, quantiles in without.baselines.items():
        np.testing.assert_array_equal(found.baselines[name], quantiles)
    summary = found.summary()
    same = {"seconds": summary.seconds, "next_session": summary.next_session}
    assert summary == replace(without.summary(), **same)
    leads = summary.next_session.leads
    assert leads["copy"] == comparison.Lead(15, 0.0, 1.0)
    assert summary.next_session.verdict == "too_few"


@pytest.mark.slow
def test_the_figures_of_a_rival_are_those_by_hand(backtests):
    _, found = backtests
    means = BARS["volume"].rolling(20).mean()[ORIGINS]
    np.testing.assert_allclose(found.rivals["mean"][:, :, 3], np.tile(means.to_numpy(), (5, 1)).T)
    house = found.rivals["house"]
    assert np.isnan(house[:, 1:]).all()
    ahead = BARS["volume"].shift(-1)[ORIGINS]
    np.testing.assert_allclose(house[:, 0, 3], 1.1 * ahead)
    frame = forecast_frame(found).query("model == 'house' and horizon == 1")
    np.testing.assert_allclose(frame["error"], 0.1 * ahead)
    levels = np.array(QUANTILES)
    gap = ahead.to_numpy()[:, None] - house[:, 0]
    losses = np.maximum(levels * gap, (levels - 1) * gap).mean(axis=1)
    gap = ahead.to_numpy()[:, None] - found.issued[:, 0]
    ours = np.maximum(levels * gap, (levels - 1) * gap).mean(axis=1)
    lead = found.comparison().leads["house"]
    assert lead.share == pytest.approx(1 - ours.mean() / losses.mean())


@pytest.mark.slow
def test_a_frame_is_compared_with_series_and_functions(monkeypatch):
    set_small_fits(monkeypatch.setattr)
    own = {"house": BARS["volume"], "mean": lambda history, ahead: history["value"].mean()}
    found = fc.backtest(BARS, "2024-02-12", "2024-02-20", symbol="TEST", rivals=own, refit_every=9)
    counts = found.forecasts.dropna(subset="q50")["model"].value_counts()
    assert (counts["house"], counts["mean"]) == (6, 30)
    compared = found.comparison.set_index("forecaster")
    assert compared.loc["house", "n"] == 6
    assert compared.loc["house", "lead"] < 0
    assert set(compared["verdict"]) == {"too_few"}
    assert " house " in repr(found)
    with pytest.raises(ValueError, match="of up to 16"):
        fc.backtest(BARS, symbol="TEST", rivals={"ridge": BARS["volume"]})
