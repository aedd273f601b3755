# ruff: noqa: RUF001 - what is printed is compared as it is
from datetime import UTC, date, datetime

from flows.console import paragraph, printed, table_text
from forecasting.evaluate.significance import Skill
from forecasting.report.terminal import (
    line_listing,
    night_parts,
    why_parts,
)
from tests.report.nights import forecasts, report_data, scored
from tests.store.rows import stored_run


def night_text(data, *, now, width):
    return printed(night_parts(data, now=now), width=width)


COLUMNS = ["symbol", "share", "what was found"]
ROWS = [["SBUX", "+1.5%", "every bar passed every check"], ["BRK-B", "\N{EN DASH}", None]]


def test_a_narrow_table_breaks_its_widest_column_between_words():
    assert table_text(COLUMNS, ROWS, width=31).splitlines() == [
        "symbol  share  what was found",
        "------- ------ ----------------",
        "SBUX    +1.5%  every bar passed",
        "               every check",
        "BRK-B       –",
    ]


def test_a_hostile_cell_is_one_line_and_a_paragraph_is_broken_between_words_for_a_terminal_alone():
    assert (
        table_text(["a"], [["x\x1b[31m\ny"]], width=None).splitlines()[2]
        == "x\N{REPLACEMENT CHARACTER}[31m y"
    )
    text = "80\N{NO-BREAK SPACE}M shares of SBUX"
    assert paragraph(text, width=None) == "80 M shares of SBUX"
    assert paragraph(text, width=11) == "80 M shares\nof SBUX"


NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)

COSTS = """\
Where an overestimate costs 3 times as much per unit as an underestimate, the
25% quantile has the least expected cost.

session     25% quantile  vs median
----------- ------------- ---------
Mon 11 Mar          6.08       −15%
Tue 12 Mar          6.14       −15%
Wed 13 Mar          6.20       −15%
Thu 14 Mar          6.26       −15%
Fri 15 Mar          6.32       −15%

"""

NIGHT = """\
SBUX volume: Starbucks Corporation
SBUX is expected to trade 7.16 M shares on Mon 11 Mar 2024 (80% interval
5.01–10.74 M), 2% above the usual 7.03 M.
Why: recent x1.14; Monday x0.90.

session     median  80% interval  vs usual  note, why
----------- ------- ------------- --------- --------------------------
Mon 11 Mar    7.16    5.01–10.74       +2%  recent x1.14; Monday x0.90
Tue 12 Mar    7.23    5.06–10.84       +3%
Wed 13 Mar    7.30    5.11–10.95       +4%  earnings; recent x1.06
Thu 14 Mar    7.37    5.16–11.05       +5%
Fri 15 Mar    7.44    5.21–11.16       +6%  triple witching x2.21

In M shares. Usual is 7.03 M shares, the median of the last 20 sessions up to
Fri 8 Mar 2024. Network, trees, combination and other are corrections by models,
not causes. All: --why.

Model:        lstm 3f9c2ab1a77d0e11, trained up to Wed 6 Mar 2024
Data:         bars up to Fri 8 Mar 2024, fetched Sat 9 Mar 2024 10:31 UTC
Last result:  Fri 8 Mar 2024: forecast 7.44 M, actual 7.09 M (−5%), inside the
              80% interval 5.21–11.16
Hits:         80% of 40 actuals fell inside the 80% interval: too few to say
Skill:        8% ahead of ridge over 250 nights (p 0.01)"""

WHY = """\
SBUX volume

session     why
----------- ------------------------------------------------------
Mon 11 Mar  Usual 7.03 M; Monday x0.90; recent x1.14; other x1.01.
Tue 12 Mar
Wed 13 Mar  Usual 7.03 M; recent x1.06.
Thu 14 Mar
Fri 15 Mar  Usual 7.03 M; triple witching x2.21.

The median is the usual value multiplied by the factors. Network, trees,
combination and other are corrections by models, not causes."""

LINES = """\
symbol       session     median  80% interval  vs usual  last  skill  note, why
------------ ----------- ------- ------------- --------- ----- ------ -----------------------------
SBUX volume  Mon 11 Mar  7.16 M    5.01–10.74       +2%  hit     +8%  recent x1.14; Monday x0.90
MSFT range   Mon 11 Mar   0.83%     0.58–1.24      −30%  hit
IBM volume   Mon 11 Mar  7.16 M    5.01–10.74       +2%               failed; baseline; issued late"""
SKILL = Skill("ridge", 250, 0.08, 0.01)
PARTS = [("usual", 7.03e6), ("weekday", 0.9), ("recent", 1.14), ("trees", 1.01)]
WEEK = {1: PARTS, 3: [("usual", 7.03e6), ("recent", 1.06), ("market", 1.004)]}
WEEK |= {5: [("usual", 7.03e6), ("expiry", 2.21), ("recent", 0.997)]}


def test_a_night_in_full_at_80_columns_and_in_a_pipe_with_a_line_for_each_sentence():
    data = report_data(parts=WEEK, skill=SKILL)
    assert night_text(data, now=NOW, width=80) == NIGHT
    piped = night_text(data, now=NOW, width=None)
    assert piped.split() == NIGHT.split()
    assert any(
        line.startswith("Last result: ") and line.endswith("5.21–11.16")
        for line in piped.splitlines()
    )


def test_every_factor_of_each_session_is_printed_where_asked_for():
    assert printed(why_parts(report_data(parts=WEEK)), width=80) == WHY


def test_many_symbols_are_a_line_each_in_a_pipe_and_where_there_is_room():
    nights = [
        report_data(parts={1: PARTS}, skill=SKILL),
        report_data("range", run={"symbol": "MSFT"}),
        report_data(
            run={"symbol": "IBM"},
            scored=scored(),
            forecasts=forecasts(kind="late", status="fallback"),
            unfinished=stored_run("", "2024-03-11", status="failed", error="x"),
        ),
    ]
    for width in (None, 100):
        assert table_text(*line_listing(nights, now=NOW), width=width) == LINES


def test_forecasts_from_an_older_session_than_the_newest_are_stale_and_have_their_year():
    now = datetime(2026, 12, 1, tzinfo=UTC)
    data = report_data(
        forecasts=forecasts(kind="replay"),
        newest=date(2026, 11, 30),
        run={"note": "The clock was set back."},
    )
    shown = night_text(data, now=now, width=None)
    assert (
        "\nStale: The newest completed session is Mon 30 Nov 2026: see `forecasting doctor`.\nMade afterwards: "
        in shown
    )
    assert "\nMon 11 Mar 2024 " in shown
    ((_, session, *_, notes),) = line_listing([data], now=now)[1]
    assert (session, notes) == ("Mon 11 Mar 2024", "stale; made afterwards")


def test_show_has_the_quantiles_only_with_a_ratio():
    shown = night_text(report_data(cost_ratio=3.0), now=NOW, width=80)
    without = night_text(report_data(), now=NOW, width=80)
    assert "% quantile" not in without
    assert shown == f"{without}\n\n{COSTS}".rstrip()
    assert max(map(len, shown.splitlines())) <= 80


def test_no_line_is_wider_than_the_terminal_even_without_a_space():
    shown = table_text(["name", "path"], [["A" * 20, "/" + "x" * 200]], width=40)
    assert "A" * 20 + "  /xxx" in shown
    assert max(map(len, shown.splitlines())) == 40
    assert shown.count("x") == 200
