"""The file of settings, forecasting.toml: where it is, what it holds, and a new one."""

import json
import os
import stat
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from forecasting.errors import UsageError
from forecasting.plain_text import without_password
from forecasting.values import encoded, listed, with_kind

DATA_DIR = Path("forecasting-data")
"""The default of the setting data_dir; of a file of settings it is in the file's folder."""


def settings_file() -> Path | None:
    """The file of settings: FORECASTING_CONFIG, else the nearest forecasting.toml.

    It is looked for beside or above the data folder, then in or above the working folder. A file of
    another user, as in /tmp, is passed over.
    """
    config = os.environ.get("FORECASTING_CONFIG")
    if config:
        return Path(config)
    data_dir = Path(os.environ.get("FORECASTING_DATA_DIR") or DATA_DIR)
    for folder in (*data_dir.absolute().parents, Path.cwd(), *Path.cwd().parents):
        file = folder / "forecasting.toml"
        if os.access(file, os.R_OK) and is_own(file):
            return file
    return None


def is_own(file: Path) -> bool:
    """Whether a file, and a link that leads to it, belong to this user or to root."""
    return {file.stat().st_uid, file.lstat().st_uid} <= {0, os.getuid()}


def file_values() -> dict[str, Any]:
    """What the file of settings has, its relative paths and the data folder beside the file."""
    config = settings_file()
    if config is None:
        return {}
    try:
        # As variables, in any case
        text = config.read_text("utf-8")
        values = {name.lower(): value for name, value in tomllib.loads(text).items()}
    except (OSError, ValueError) as error:  # which quotes no content
        named = " (FORECASTING_CONFIG)" if os.environ.get("FORECASTING_CONFIG") else ""
        found = getattr(error, "strerror", None) or error
        raise UsageError(
            f'Expected TOML, such as symbols = "SBUX,MSFT", in {config}{named}; found: {found}.'
        ) from None
    values.setdefault("data_dir", str(DATA_DIR))
    folder = config.parent.absolute()
    rivals = values.get("rivals")
    if isinstance(rivals, dict):
        values["rivals"] = {name: _in_folder(folder, "source", rivals[name]) for name in rivals}
    return {name: _in_folder(folder, name, value) for name, value in values.items()}


def _in_folder(folder: Path, name: str, value: Any) -> Any:  # noqa: ANN401 - of any setting
    """The value of a setting, in which a relative path is of `folder`."""
    if name == "files" and isinstance(value, str | list):
        paths = listed(value) if isinstance(value, str) else value
        return [_in_folder(folder, "data_dir", path) for path in paths]
    if not isinstance(value, str):
        return value
    if name in ("source", "events", "market"):
        value = with_kind(value)
    kind = next(filter(value.startswith, ("csv:", "parquet:", "sqlite:///")), "")
    if not kind and name != "data_dir":
        return value
    # The path of a URL is encoded
    parent = encoded(folder) if kind == "sqlite:///" else str(folder)
    path = os.path.expanduser(value.removeprefix(kind))  # noqa: PTH111 - a text
    return kind + os.path.join(parent, path)  # noqa: PTH118 - a text


def check_private(values: Mapping[str, object]) -> None:
    """Refuse a file of settings that others can read and that holds a secret."""
    url = str(values.get("database_url", ""))
    held = ["database_url"] if without_password(url) != url else []
    if values.get("notify", "none") != "none":
        held.append("notify")
    file = settings_file()
    if file is None or not held:
        return
    state = file.stat()
    # By its group a service reads a file of root
    others = 0o077 if state.st_uid == os.getuid() else 0o007
    if state.st_mode & others:
        raise UsageError(
            f"Expected {file} to be readable by its user alone, since it holds "
            f"{' and '.join(held)}; found mode {stat.S_IMODE(state.st_mode):04o}. Run `chmod 600 "
            f"{file}`, and change a secret that others may have read."
        )


def write_settings_file(in_force: BaseSettings, given: Collection[str]) -> str:
    """The path of the ./forecasting.toml that it has written, and of another that is read first.

    Each setting has its meaning. The `given` ones have their values, secrets and all others a
    comment with an example or the default.
    """
    path = Path("forecasting.toml").absolute()
    before = settings_file()
    lines = [
        "# Settings, commented out with the default or an example. Options and FORECASTING_NAME "
        "come first."
    ]
    kind = type(in_force)
    values = in_force.model_dump(mode="json")
    defaults = kind.model_construct().model_dump(mode="json")
    for name, field in kind.model_fields.items():
        lines += ["", f"# {field.description}"]
        if name in given and not isinstance(getattr(in_force, name), SecretStr):
            lines.append(f"{name} = {_toml(values[name])}")
        else:
            value = field.examples[0] if field.examples else defaults[name]
            lines.append(f"# {name} = {_toml(value)}")
    try:
        path.touch(0o600, exist_ok=False)  # it has places for secrets
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Expected to write a new file {path}; found: {error.strerror}. Edit the one there or "
            "move it away; or go to another folder."
        ) from None
    if before is None:
        return f"{path}"
    if settings_file() == path:
        return f"{path}, which is read here before {before}"
    return f"{path}, after {before}"


def _toml(value: object) -> str:
    """A value in TOML, which is JSON but for tables: of strings, numbers and lists."""
    text = json.dumps(value, ensure_ascii=False)
    return text.replace(": ", " = ") if isinstance(value, dict) else text
