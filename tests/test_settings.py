"""Settings and the values of options, variables, forecasting.toml and Python's callers."""

import os
import stat
from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.settings import (
    Settings,
    read_settings,
    setting_places,
)
from forecasting.settings_file import write_settings_file
from forecasting.values import (
    MarketChoice,
    check_symbol,
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """A working folder without a forecasting.toml above it."""
    monkeypatch.chdir(tmp_path)


def set_variables(**values):
    """Set variables until the test ends, see `own_settings`."""
    os.environ |= {f"FORECASTING_{name}": str(value) for name, value in values.items()}


def write_config():
    """As the command init does."""
    given = [name for name, place in setting_places().items() if place == "environment"]
    return write_settings_file(read_settings(), given)


def test_an_empty_variable_counts_as_not_set():
    set_variables(**dict.fromkeys(map(str.upper, Settings.model_fields), ""))
    assert read_settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "texts", "words"),
    [
        ("RUNNER", ["none"], "expected 'local', 'processes' or 'dask', found 'none'"),
        ("TARGETS", ["price", "all,price"], "expected 'volume' or 'range', found 'price'"),
        ("SYMBOLS", ["SBUX,ms/ft"], "Invalid symbol 'ms/ft': expected 1 to 15 of A-Z"),
        ("SYMBOLS", [",", " , "], "Expected one or several, found none"),
        ("EXCHANGES", ["v/d=XLON"], "Invalid symbol 'v/d': expected 1 to 15 of A-Z"),
        ("COST_RATIO", ["0", "-3", "inf", "nan", "three"], ""),
        (
            "TIMEZONE",
            ["Mars/Olympus", "/etc/passwd", "../UTC", "x" * 300],
            "expected a time zone such as America/New_York",
        ),
        (
            "PAGES_URL",
            ["file:///reports", "https://host/a b", "https://user:pw@host/", "javascript:x"],
            "Expected an",
        ),
        (
            "MARKET",
            ["the vix", "csv:a name with spaces.csv", "a name with spaces.csv"],
            "Expected none, a symbol",
        ),
    ],
)
def test_an_invalid_variable_is_named_with_what_is_expected_and_no_secret_is_shown(
    name, texts, words
):
    set_variables(DATABASE_URL="postgresql://me:hunter2@127.0.0.1/ledger", WORKERS="many")
    for text in texts:
        set_variables(**{name: text})
        with pytest.raises(UsageError) as refused:
            read_settings()
        assert f"FORECASTING_{name}: {words}" in str(refused.value)
        # Each of them is named
        assert "FORECASTING_WORKERS: expected a valid integer" in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_what_a_forecast_follows_from_has_the_market_series_by_its_symbol_and_no_source():
    def fields_of(**given):
        return Settings(**given).forecast_fields()

    usual = fields_of()
    assert usual == fields_of(source="yahoo") == fields_of(source="sample")
    vix = fields_of(market="csv:a/VIX.csv")
    assert vix == fields_of(market="parquet:b/vix.parquet")
    assert usual != vix


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("SYMBOL", "SYMBOLS"),
        ("TARGET", "TARGETS"),
        ("DATADIR", "DATA_DIR"),
        ("TIME_ZONE", "TIMEZONE"),
        ("NOTIFI", "NOTIFY"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name_and_others_are_left(wrong, nearest):
    set_variables(DB_PASSWORD="x", OWNED_BY="x")
    read_settings()
    set_variables(**{wrong: "MSFT"})
    with pytest.raises(UsageError, match=rf"found FORECASTING_{wrong} \(FORECASTING_{nearest}\?\)"):
        read_settings()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, two folders below one that has a forecasting.toml."""
    (tmp_path / "forecasting.toml").write_text(
        'data_dir = "ledger"\nsymbols = ["SBUX", "VOD.L"]\ntargets = "range"\n'
        'exchanges = {"VOD.L" = "XAMS"}\ncost_ratio = 2\nAlerts = ["median > 2 usual", "SBUX q90 > '
        '2e7"]\n'
    )
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def test_a_file_is_read_in_the_types_of_toml_and_variables_come_first(folder):
    set_variables(TARGETS="range")
    assert dict(read_settings()) == dict(Settings.model_construct()) | {
        "data_dir": folder / "ledger",
        "symbols": ("SBUX", "VOD.L"),
        "targets": ("range",),
        "exchanges": {"VOD.L": "XAMS"},
        "cost_ratio": 2.0,
        "alerts": "median > 2 usual; SBUX q90 > 2e7",
    }


@pytest.mark.parametrize("symbol", ["BTC-USD", "ES=F", "EURUSD=X"])
def test_what_trades_around_the_clock_needs_sessions_that_a_setting_names(symbol):
    set_variables(SYMBOLS=f"BRK-B,{symbol}")
    with pytest.raises(UsageError, match=f"{symbol}.* FORECASTING_EXCHANGES"):
        read_settings()
    set_variables(EXCHANGES=f"{symbol}=XNYS")
    assert read_settings().series[symbol].exchange == "XNYS"
    set_variables(EXCHANGES="", EXCHANGE="24/7")
    assert read_settings().series[symbol].exchange == "24/7"


@pytest.mark.parametrize(
    ("variables", "symbol", "data_dir"),
    [
        ({}, "MSFT", "{}/a/forecasting-data"),
        ({"DATA_DIR": "/nowhere/data"}, "MSFT", "/nowhere/data"),
        ({"DATA_DIR": "{}/elsewhere"}, "SBUX", "{}/elsewhere"),
        ({"CONFIG": "{}/forecasting.toml"}, "SBUX", "{}/ledger"),
        ({"CONFIG": "{}/home.toml"}, "PEP", f"{Path.home()}/data"),
    ],
)
def test_the_nearest_file_above_the_data_folder_else_the_working_one_is_read(
    folder, variables, symbol, data_dir
):
    (folder / "a" / "forecasting.toml").write_text('symbols = "MSFT"')
    (folder / "home.toml").write_text('symbols = "PEP"\ndata_dir = "~/data"')
    set_variables(**{name: text.format(folder) for name, text in variables.items()})
    found = read_settings()
    assert (found.symbols[0], str(found.data_dir)) == (symbol, data_dir.format(folder))


@pytest.mark.parametrize(
    ("file", "variables", "targets"),
    [
        ('targets = ["range", "volume", "range"]', {}, ("range", "volume")),
        ('targets = "all"', {}, ("volume", "range")),
        ('targets = "range"', {"TARGETS": "volume, range"}, ("volume", "range")),
        ("", {"TARGETS": "all"}, ("volume", "range")),
    ],
)
def test_targets_are_a_list_without_repetition_and_a_variable_comes_before_the_file(
    folder, file, variables, targets
):
    (folder / "forecasting.toml").write_text(file)
    set_variables(**variables)
    settings = read_settings()
    assert settings.targets == targets
    names = [f"SBUX {target}" for target in targets]
    assert [*settings.series] == (names if len(targets) > 1 else ["SBUX"])
    assert [one.targets for one in settings.series.values()] == [(target,) for target in targets]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("source", "parquet:bars/x.parquet", "parquet:{}/bars/x.parquet"),
        ("source", "csv:~/SBUX.csv", f"csv:{Path.home()}/SBUX.csv"),
        ("source", "csv:../second.csv", "csv:{}/../second.csv"),
        ("events", "csv:/house/dates.csv", "csv:/house/dates.csv"),
        ("market", "csv:VIX.csv", "csv:{}/VIX.csv"),
        ("market", "^VIX", "^VIX"),
        ("source", "house:x.csv", "house:x.csv"),
        ("files", "in, /house", ["{}/in", "/house"]),
        ("files", ["in", "~/in"], ["{}/in", f"{Path.home()}/in"]),
    ],
)
def test_a_relative_path_is_of_the_folder_of_its_file_and_in_a_variable_of_the_working_one(
    folder, name, text, found
):
    (folder / "forecasting.toml").write_text(f"{name} = {text!r}")
    placed = read_settings().model_dump(mode="json")[name]
    assert str(placed) == str(found).format(folder)
    set_variables(**{name.upper(): "csv:VIX.csv"})
    assert read_settings().model_dump(mode="json")[name] in ("csv:VIX.csv", ["csv:VIX.csv"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'databas_url = "postgresql://u:hunter2@h/d"',
            "databas_url in {}: no such setting (database_url?)",
        ),
        ('[forecasting]\nnotify = "hunter2"', "forecasting in {}: no such setting."),
        ("notify = 42\nworkers = 'many'", "workers in {}: expected a valid integer, found 'many'"),
        ('target = "range"', "target in {}: no such setting (targets?)."),
        ("workers = 2", "setting. FORECASTING_RUNNER: expected 'local'"),
        (
            "workers =",
            'TOML, such as symbols = "SBUX,MSFT", in {} (FORECASTING_CONFIG); found: Invalid value',
        ),
        (None, "in {} (FORECASTING_CONFIG); found: No such file"),
    ],
)
def test_a_file_that_is_not_valid_is_named_and_no_secret_is_quoted(tmp_path, text, words):
    file = tmp_path / "own.toml"
    set_variables(CONFIG=file, RUNNER="nightly")
    if text is not None:
        file.write_text(text)
        file.chmod(0o600)
    with pytest.raises(UsageError) as refused:
        read_settings()
    assert words.format(file) in str(refused.value)
    assert not any(other in str(refused.value) for other in ("hunter2", "42,", "SECRETS_DIR"))


def test_a_written_file_gives_the_same_settings_and_replaces_none(tmp_path):
    set_variables(SYMBOLS="SBUX,VOD.L", EXCHANGES="VOD.L=XAMS", COST_RATIO=2)
    set_variables(DATA_DIR=tmp_path / "data", DATABASE_URL="postgresql://u:hunter2@h/d")
    settings = read_settings()
    path = tmp_path / "forecasting.toml"
    assert write_config() == str(path)
    with pytest.raises(UsageError, match=r"forecasting\.toml; found: File exists\. Edit"):
        write_config()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hunter2" not in path.read_text()
    for name in [name for name in os.environ if name.startswith("FORECASTING_")]:
        del os.environ[name]
    assert read_settings() == settings.model_copy(update={"database_url": None})


@pytest.mark.parametrize(
    ("mode", "text", "held"),
    [
        (
            0o644,
            'database_url = "postgresql://u:hunter2@h/d"\nnotify = ["json://hunter2"]',
            "database_url and notify",
        ),
        (0o640, 'notify = "json://hunter2"', "notify"),
        (0o600, 'notify = "json://hunter2"', ""),
        (0o644, 'database_url = "postgresql:///d"\nnotify = "none"', ""),
    ],
)
def test_a_file_that_others_can_read_is_refused_by_name_where_it_has_a_secret(
    tmp_path, mode, text, held
):
    path = tmp_path / "forecasting.toml"
    path.write_text(text)
    path.chmod(mode)
    if not held:
        read_settings()
        return
    refused = rf"it holds {held}; found mode {mode:04o}\. Run `chmod 600 {path}`"
    with pytest.raises(UsageError, match=refused) as error:
        read_settings()
    assert "hunter2" not in str(error.value)


def test_each_line_of_a_written_file_and_all_are_valid_without_the_comment_sign_and_defaults_where_there_are(
    tmp_path,
):
    write_config()
    path = tmp_path / "forecasting.toml"
    lines = [line.removeprefix("# ") for line in path.read_text().splitlines() if " = " in line]
    assert [line.split()[0] for line in lines] == list(Settings.model_fields)
    for text in (*lines, "\n".join(lines)):
        path.write_text(text)
        found = dict(read_settings())
    defaults = {**dict(Settings.model_construct()), "data_dir": tmp_path / "forecasting-data"}
    examples = {name for name, field in Settings.model_fields.items() if field.examples}
    assert {name for name, value in found.items() if value != defaults[name]} == examples


@pytest.mark.parametrize(
    ("source", "market", "chosen"),
    [
        ("yahoo", None, MarketChoice("^VIX", "yahoo", "XNYS")),
        ("csv:SBUX.csv", None, None),
        ("yahoo", "none", None),
        ("parquet:panel.parquet", "^GSPC", MarketChoice("^GSPC", "parquet:panel.parquet", "XNYS")),
        ("yahoo", "csv:data/VIX.csv", MarketChoice("^VIX", "csv:data/VIX.csv", "XNYS", True)),
        (
            "sample",
            "parquet:^vix.parquet",
            MarketChoice("^VIX", "parquet:^vix.parquet", "XNYS", True),
        ),
        ("yahoo", "VUSA.L", MarketChoice("VUSA.L", "yahoo", "XLON")),
        ("yahoo", "^N225", MarketChoice("^N225", "yahoo", "XTKS")),
    ],
)
def test_the_setting_or_its_default_chooses_symbol_source_and_exchange_of_the_market_series(
    source, market, chosen
):
    assert (
        Settings(
            source=source, market=market, exchange="XTKS", exchanges="^N225=XTKS"
        ).market_choice
        == chosen
    )


def test_a_symbol_is_accepted_as_yahoo_writes_it_and_no_other():
    for symbol in ("SBUX", "BRK-B", "VOD.L", "^GSPC", "7203.T"):
        assert check_symbol(symbol) == symbol
    assert check_symbol("brk-b") == "BRK-B"
    for symbol in ("", "../SBUX", "-SBUX", "SB UX", "A" * 16, "SBUX\n"):
        with pytest.raises(UsageError, match="write it as Yahoo does") as refused:
            check_symbol(symbol)
        assert repr(symbol) in str(refused.value)
