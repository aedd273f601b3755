from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd

from forecasting.report.outcome_page import RunTimes, outcome_artifact
from tests.report.nights import forecasts
from tests.report.test_run_outcome import failed, night_of, plain

DUE = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
TIMES = RunTimes(DUE, DUE + timedelta(seconds=3), DUE + timedelta(seconds=75))
STEPS = ("ingest", "preprocess", "train", "predict", "evaluate", "total")


def durations(*symbols: str, median: float = 0.5, p95: float = 0.9, n: int = 60) -> pd.DataFrame:
    rows = [
        {"symbol": symbol, "step": step, "n": n, "median_seconds": median, "p95_seconds": p95}
        for symbol in symbols
        for step in STEPS
    ]
    return pd.DataFrame(rows, columns=["symbol", "step", "n", "median_seconds", "p95_seconds"])


def body_of(*nights, **given) -> str:
    text = outcome_artifact(nights, given.get("durations", durations()), TIMES).body
    assert isinstance(text, str)
    return plain(text)


def section(body: str, title: str) -> list[str]:
    return body.partition(f"### {title}\n\n")[2].partition("\n\n###")[0].splitlines()


def test_an_ordinary_run_has_nothing_to_do() -> None:
    artifact = outcome_artifact([night_of("A"), night_of("B")], durations(), TIMES)
    assert (artifact.key, artifact.description) == ("outcomes-volume", "2 symbols: 2 done, volume")
    body = body_of(night_of("A"), night_of("B"))
    assert body.startswith("**2 symbols: 2 done.**\n\n")
    assert section(body, "What to do") == ["- Nothing."]


def test_symbols_with_one_reason_are_one_line_and_the_next_step_is_named() -> None:
    body = body_of(night_of("A"), failed("B"), failed("C"), failed("D", "another [reason]"))
    assert section(body, "What to do") == [
        "- **B, C: failed.** no rows",
        "- **D: failed.** another \\[reason\\]",
        "- The next night makes up for what failed or is late. At once: `prefect deployment run nightly/nightly`",
    ]


def test_a_fallback_and_a_note_are_explained() -> None:
    fallback = forecasts(status="fallback", reason="the champion is too old", last_value=8e6)
    body = body_of(night_of("A", published=fallback), night_of("B", note="The market series was late."))
    assert section(body, "What to do") == [
        "- **A: fallback.** the champion is too old",
        "- **B: note.** The market series was late.",
        "- After a fallback nothing: the best baseline is published until the network passes again.",
    ]


def test_each_symbol_has_a_row_those_that_are_not_done_first_with_a_link_to_its_page() -> None:
    body = body_of(night_of("A"), failed("B"), night_of("C", status="late"))
    assert section(body, "Forecasts of Mon 11 Mar") == [
        "| symbol | median | 80 % interval | vs last | note |",
        "| --- | ---: | ---: | ---: | --- |",
        "| B |  |  |  | failed |",
        "| [C](../key/night-c-volume) | 8.45 M | 6.00-12.00 | +6 % | late 2024-03-08 |",
        "| [A](../key/night-a-volume) | 8.45 M | 6.00-12.00 | +6 % |  |",
    ]


def test_symbols_whose_next_sessions_differ_have_them_in_a_column() -> None:
    later = forecasts(q50=8.4512e6, q10=6e6, q90=12e6, last_value=8e6)
    later["target_session"] = [date(2024, 3, 12 + place) for place in range(5)]
    body = body_of(failed("B"), night_of("A"), night_of("C", published=later))
    assert section(body, "Forecasts")[2:] == [
        "| B |  |  |  |  | failed |",
        "| [A](../key/night-a-volume) | Mon 11 Mar | 8.45 M | 6.00-12.00 | +6 % |  |",
        "| [C](../key/night-c-volume) | Tue 12 Mar | 8.45 M | 6.00-12.00 | +6 % |  |",
    ]


def test_it_says_how_late_the_run_was_and_how_long_before_the_open_its_last_forecast_came() -> None:
    later = forecasts(issued_at=datetime(2024, 3, 11, 13, 0, tzinfo=UTC), last_value=8e6)
    lines = section(body_of(night_of("A"), night_of("B", published=later)), "How late")
    assert lines == [
        "- Due 2024-03-09 10:30 UTC, started 3.0 s later, took 72 s up to this page.",
        "- 2 of 2 symbols forecast in time, the last of them, B, 30 min 0 s before Mon 11 Mar opened.",
    ]
    assert section(body_of(night_of("A")), "How late")[1].endswith(", A, 51 h before Mon 11 Mar opened.")


def test_a_symbol_whose_night_failed_did_not_forecast_in_time_by_what_an_earlier_night_published() -> None:
    lines = section(body_of(night_of("A"), night_of("B", status="failed"), night_of("C", status="late")), "How late")
    assert lines[1] == "- 1 of 3 symbols forecast in time, the last of them, A, 51 h before Mon 11 Mar opened."


def test_late_and_replayed_forecasts_are_named() -> None:
    nights = [night_of(kind, published=forecasts(kind=kind, last_value=8e6)) for kind in ("late", "replay")]
    assert section(body_of(*nights), "How late")[1:] == [
        "- Issued after its session had opened (late): late.",
        "- Made for a past session (replay): replay.",
    ]


def test_the_steps_of_all_symbols_together_stand_beside_their_usual_time() -> None:
    nights = [night_of("A"), night_of("B"), failed("C")]
    lines = section(body_of(*nights, durations=durations("A", "B", median=0.4, p95=1.2)), "How long")
    assert lines[0] == (
        "The newest night of 2 symbols together, beside the median and the 95th percentile of 60 nights."
    )
    assert lines[4] == "| ingest | 2.0 s | 0.8 s | 2.4 s |  |"
    assert lines[-1] == "| total | 10 s | 0.8 s | 2.4 s | slow |"


def test_a_young_ledger_calls_no_step_slow() -> None:
    lines = section(body_of(night_of("A"), durations=durations("A", n=1)), "How long")
    assert lines[0].endswith("of A, beside the median and the 95th percentile of 1 night.")
    assert lines[-1] == "| total | 5.0 s | 0.5 s | 0.9 s |  |"


def test_a_step_is_judged_by_its_own_nights_where_one_request_brought_the_bars_of_several() -> None:
    table = durations("A", n=22)
    table.loc[table["step"] == "ingest", "n"] = 3
    lines = section(body_of(night_of("A"), durations=table), "How long")
    assert lines[0].endswith("of A, beside the median and the 95th percentile of 3 to 22 nights.")
    assert lines[4] == "| ingest | 1.0 s | 0.5 s | 0.9 s |  |"
    assert lines[-1] == "| total | 5.0 s | 0.5 s | 0.9 s | slow |"


def test_a_run_in_which_every_symbol_failed_has_no_durations() -> None:
    assert "How long" not in body_of(failed("A"), failed("B"))
