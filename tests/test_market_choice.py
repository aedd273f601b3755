import pytest
from pydantic import ValidationError

from forecasting.errors import UsageError
from forecasting.market_choice import MarketChoice
from forecasting.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("source", "market", "chosen"),
    [
        ("yahoo", None, MarketChoice("^VIX", "yahoo", "XNYS")),
        ("csv:SBUX.csv", None, None),
        ("yahoo", "none", None),
        ("parquet:panel.parquet", "^GSPC", MarketChoice("^GSPC", "parquet:panel.parquet", "XNYS")),
        ("yahoo", "csv:data/VIX.csv", MarketChoice("^VIX", "csv:data/VIX.csv", "XNYS", True)),
        ("sample", "parquet:^vix.parquet", MarketChoice("^VIX", "parquet:^vix.parquet", "XNYS", True)),
        ("yahoo", "VUSA.L", MarketChoice("VUSA.L", "yahoo", "XLON")),
    ],
)
def test_the_setting_or_its_default_chooses_symbol_source_and_exchange(source, market, chosen):
    assert Settings(source=source, market=market, exchange="XTKS").market_choice == chosen


def test_the_exchange_of_a_series_without_a_suffix_can_be_named():
    settings = Settings(source="yahoo", market="^N225", exchanges="^N225=XTKS")
    assert settings.market_choice == MarketChoice("^N225", "yahoo", "XTKS")


@pytest.mark.parametrize("market", ["vix", "csv:a name with spaces.csv", "None", "xlsx:VIX.xlsx"])
def test_a_text_that_chooses_no_series_is_refused(market):
    with pytest.raises(ValidationError, match="Expected none, a symbol in capitals such as"):
        Settings(market=market)


def test_an_invalid_variable_is_named_in_one_sentence(monkeypatch):
    monkeypatch.setenv("FORECASTING_MARKET", "VIX.csv")
    with pytest.raises(UsageError) as raised:
        read_settings()
    assert str(raised.value) == (
        "Invalid setting. FORECASTING_MARKET: Expected none, a symbol in capitals such as ^VIX, or csv:PATH or "
        "parquet:PATH of a file with such a name, found 'VIX.csv'. `forecasting settings` lists all settings."
    )


def test_only_a_set_market_is_part_of_the_hash_and_where_its_file_lies_is_not():
    hashes = [Settings(source=source).hash for source in ("yahoo", "sample")]
    assert hashes[0] == hashes[1] == Settings().hash
    assert Settings(market="csv:a/VIX.csv").hash == Settings(market="parquet:b/vix.parquet").hash != Settings().hash
    assert Settings(market="none").forecast_fields()["market"] == "none"
