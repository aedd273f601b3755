from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import ForecastingError
from forecasting.password_file import stored_password


@pytest.mark.parametrize("spoilt", ["readable", "link", "empty"])
def test_a_stored_password_that_others_read_or_could_have_placed_is_refused(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "auth"
    if spoilt == "link":
        (tmp_path / "other").write_text("admin:x")
        path.symlink_to(tmp_path / "other")
    else:
        path.write_text("admin:x" if spoilt == "readable" else "")
        path.chmod(0o644 if spoilt == "readable" else 0o600)
    with pytest.raises(ForecastingError, match=r"[Dd]elete (it|the file)"):
        stored_password(path)


def test_a_stored_password_stays_the_same(tmp_path: Path) -> None:
    first = stored_password(tmp_path / "data" / "auth")
    assert stored_password(tmp_path / "data" / "auth") == first
    assert first.startswith("admin:")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["auth"]
