"""What commands print, as paragraphs and tables: nights, backtests, models, settings, checks."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from forecasting.conditions import Check
from forecasting.evaluate.comparison import Lead
from forecasting.evaluate.figures import BacktestSummary
from forecasting.plain_text import quantity
from forecasting.report import wording
from forecasting.report.documents import rounded
from forecasting.report.night_view import NightView
from forecasting.report.record import cost_quantiles, coverages
from forecasting.report.units import (
    change,
    full_day,
    instant,
    near_day,
    p_value,
    percent,
    short_day,
    unit_for,
)
from forecasting.report.words import notices
from forecasting.settings import Settings
from forecasting.store.rows import ModelRow
from forecasting.vocabulary import BASELINES, PUBLISHED, RANDOM

Listing = tuple[Sequence[str], Sequence[Sequence[object]]]
"""The names of the columns, none for a list without a header, and the rows."""

Parts = Sequence[str | Listing]
"""Paragraphs and tables, as they follow each other."""


def night_parts(data: NightView, *, now: datetime) -> Parts:
    """One night: tomorrow in a sentence, notices, the week, data, last result, skill."""
    why = wording.brief_why(data.first, data.first.notes)
    lines = [
        f"{data.symbol} {data.target}: {data.forecasts[0].title}",
        wording.sentence(data),
        f"Why: {why}." if why else "",
        *(f"{title}: {text}" for title, text in notices(data.conditions).items()),
    ]
    head = [[line] for line in lines if line]
    return [([], head), *_week_parts(data, now), ([], _facts(data)), *_cost_parts(data)]


def why_parts(data: NightView) -> Parts:
    """Every factor of each median of a night."""
    rows = [[short_day(line.session), wording.why_sentence(line)] for line in data.week]
    title = f"{data.symbol} {data.target}"
    return [title, (["session", "why"], rows), wording.PARTS]


def _week_parts(data: NightView, now: datetime) -> Parts:
    days = [
        [
            near_day(line.session, now.year),
            line.median,
            line.span("q10", "q90"),
            line.change,
            wording.brief_why(line, line.notes),
        ]
        for line in data.week
    ]
    about = f"In {data.unit.name}. {wording.usual_sentence(data)} {wording.ADDED} All: --why."
    columns = ["session", "median", "80% interval", "vs usual", "note, why"]
    return [(columns, days), wording.totals_sentence(data), about]


def _facts(data: NightView) -> list[list[str]]:
    model = data.full.model
    known = data.last_known or data.origin
    trained = ""
    if model.trained_to:
        trained = f", trained up to {full_day(model.trained_to)}"
    bars = f"bars up to {full_day(data.origin)}"
    if known != data.origin:
        bars += f", newest known {data.target} of {full_day(known)}"
    facts = {
        "Model": f"{model.name} {model.id}{trained}",
        "Data": f"{bars}, fetched {instant(data.full.fetch.fetched_at)}",
        "Findings": wording.without_bar(data.full.findings),
        "Last result": wording.last_result(data),
        "Hits": wording.calibration_sentence(coverages(data.full.record)),
        "Leads": wording.lead_sentence(data.full),
        "Skill": "" if data.skill is None else wording.skill_sentence(data.skill),
    }
    return [[f"{name}:", text] for name, text in facts.items() if text]


def _cost_parts(data: NightView) -> Parts:
    """What a cost ratio adds: the quantile of least expected cost of each forecast."""
    ratio = data.full.cost_ratio
    if ratio is None:
        return []
    number = data.unit.number
    quantiles = cost_quantiles(data.rows, ratio)
    coming = [
        [short_day(line.session), number(value), change(value, median)]
        for value, median, line in zip(quantiles, data.rows["q50"], data.week, strict=True)
    ]
    columns = ["session", wording.level_name(ratio), "vs median"]
    return [wording.cost_sentence(ratio), (columns, coming)]


LEGEND = (
    "vs usual: against the 20-session median. last: actual in the 80% "
    "interval. skill: pinball loss saved against the reference baseline. why: two largest "
    "factors; all: --why."
)
"""What the columns of `line_listing` mean."""


def line_listing(nights: Sequence[NightView], *, now: datetime) -> Listing:
    """A row a symbol: its next session, against usual; how it did; what to know."""
    ratio = nights[0].full.cost_ratio
    has_several = len({data.target for data in nights}) > 1
    columns = ["symbol", "session", "median", "80% interval"]
    if ratio is not None:
        columns.append(wording.level_name(ratio))
    columns += ["vs usual", "last"]
    # Past nights have none
    has_skill = any(data.skill is not None for data in nights)
    if has_skill:
        columns.append("skill")
    columns.append("note, why")
    rows = []
    for data in nights:
        line = data.first
        row: list[object] = [
            f"{data.symbol} {data.target}" if has_several else data.symbol,
            near_day(line.session, now.year),
            line.brief_median,
            line.span("q10", "q90"),
        ]
        if ratio is not None:
            row.append(data.unit.brief(cost_quantiles(data.rows, ratio).iloc[0]))
        row += [line.change, data.hit]
        if has_skill:
            row.append(wording.skill_brief(data.skill))
        row.append(wording.brief_why(line, data.notes))
        rows.append(row)
    return columns, rows


_VERDICTS = {
    "use": "use it",
    "no_better": "no better than the {reference}",
    "own_better": "your own is better",
    "too_few": "too few nights to say",
}


def comparison_parts(backtests: Sequence[BacktestSummary]) -> Parts:
    """Whether the next session's forecasts of each backtest are to be used, and the rule."""
    about = (
        "Forecasts of the next session. error: mean absolute one, and its share of the mean value. "
        "ahead of: pinball loss saved, p of equal loss. over 15%: nights on which an order of 10% "
        "of the median was more than 15% of the volume. Use it: it lost less than the ridge, and "
        "than your own forecasts; the other verdicts need a year, or p below 0.05."
    )
    return [comparison_listing(backtests), about]


def comparison_listing(backtests: Sequence[BacktestSummary]) -> Listing:
    """A row a backtest: its error, its lead over each forecaster of the user and some baselines."""
    leads = [backtest.next_session.leads for backtest in backtests]
    own = dict.fromkeys(name for found in leads for name in found if name not in BASELINES)
    names = [*wording.COMPARED, *own]
    rows = []
    for backtest in backtests:
        found = backtest.next_session
        unit = unit_for(backtest.target, usual=found.mae)
        rows.append(
            [
                f"{backtest.symbol} {backtest.target}",
                found.nights,
                f"{unit.brief(found.mae)} ({percent(found.mae_share)})",
                *(_lead(found.leads.get(name)) for name in names),
                percent(found.coverage_80),
                percent(found.over_limit.get(PUBLISHED, math.nan), decimals=1),
                _VERDICTS[found.verdict].format(reference=backtest.overall.reference),
            ]
        )
    ahead = [f"ahead of {wording.forecaster_label(name)}" for name in names]
    return ["series", "nights", "error", *ahead, "in 80%", "over 15%", "verdict"], rows


def _lead(lead: Lead | None) -> str:
    """Like `+4.5% (p 0.01)`; empty without one."""
    if lead is None:
        return ""
    return f"{percent(lead.share, signed=True, decimals=1)} (p {p_value(lead.p_value)})"


def backtest_parts(backtest: BacktestSummary) -> Parts:
    """What is shown of a backtest: span, earnings dates, figures, what the nights did."""
    title = (
        f"{backtest.symbol} {backtest.target}, origins {backtest.first} to "
        f"{backtest.last}: {quantity(backtest.origins, 'origin')}, "
        f"{quantity(backtest.refits, 'fit')}, {backtest.seconds:.0f} s"
    )
    lists = {"shipped": "the package's list"}
    dates = [
        f"{quantity(count, 'earnings date')} from {lists.get(name, name)}"
        for name, count in backtest.earnings_dates.items()
    ]
    earnings = ", ".join(dates) or "No earnings dates"
    return [
        title,
        earnings,
        *comparison_parts([backtest]),
        backtest_listing(backtest),
        wording.published_sentence(backtest),
    ]


def backtest_listing(backtest: BacktestSummary) -> Listing:
    """A row a horizon of a backtest, and one over all."""
    overall = backtest.overall
    unit = wording.backtest_unit(backtest)
    names = list(overall.baselines)
    columns = [
        "horizon",
        f"mean error, {unit.name}",
        *map(wording.forecaster_label, names),
        f"skill against {wording.forecaster_label(overall.reference)}",
        "p",
        "in 80%",
        "in 90%",
    ]
    rows = [
        [
            horizon,
            unit.number(figures.mae),
            *(unit.number(figures.baselines[name]) for name in names),
            percent(figures.reference_skill, signed=True, decimals=1),
            p_value(figures.reference_p_value),
            percent(figures.coverage_80, decimals=1),
            percent(figures.coverage_90, decimals=1),
        ]
        for horizon, figures in [*backtest.horizons.items(), ("all", overall)]
    ]
    return columns, rows


def check_listing(checks: Sequence[Check]) -> Listing:
    """A row a check of `doctor`."""
    return ["check", "state", "found"], [[row.check, row.state, row.found] for row in checks]


def model_listing(models: Sequence[ModelRow]) -> Listing:
    """A row a network, with what its fit started from; of several symbols, with their names."""
    columns = {
        "id": "model",
        "method": "method",
        "start": "from",
        "trained_to": "trained to",
        "chain_epochs": "epochs",
        "refused": "refused by the gate",
        "withdrawn_at": "withdrawn",
    }
    if len({row.symbol for row in models if row.symbol}) > 1:
        columns = {"symbol": "symbol", **columns}
    rows = []
    for row in models:
        base = "random weights" if row.base == RANDOM else row.base
        shown = {**asdict(row), "start": row.parent_id or base}
        rows.append([shown[name] for name in columns])
    return list(columns.values()), rows


def lineage_listing(model: Mapping[str, object]) -> Listing:
    """A row a fact of a model."""
    return ["about", "value"], [[name, _fact(value)] for name, value in model.items()]


def _fact(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, str) and value.startswith("{"):  # a column that holds JSON, as `gate`
        return _fact(json.loads(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in rounded(value).items())
    return value


def with_exchanges(settings: Settings) -> Settings:
    """The settings with the exchange of every symbol."""
    exchanges = {symbol: settings.exchange_of(symbol) for symbol in settings.symbols}
    return settings.model_copy(update={"exchanges": settings.exchanges | exchanges})


def settings_listing(settings: Settings, places: Mapping[str, str]) -> Listing:
    """A row a setting: variable, value as that variable takes it, where it is from, meaning.

    Secrets stay hidden.
    """
    values = settings.model_dump(mode="json")
    exchanges = [f"{symbol}={exchange}" for symbol, exchange in settings.exchanges.items()]
    lists = {"symbols": settings.symbols, "files": values["files"], "exchanges": exchanges}
    shown = {**values, **{name: ",".join(texts) for name, texts in lists.items()}}
    return ["setting", "value", "from", "meaning"], [
        [f"FORECASTING_{name.upper()}", shown[name], places.get(name, ""), field.description]
        for name, field in Settings.model_fields.items()
    ]
