"""Every sentence as another one, by one mapping: errors, what the ledger stores, the wording room.

No decision may notice it: decisions read kinds and values.
"""

import inspect
import json
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps

import pytest

from forecasting import errors
from forecasting.report import wording
from forecasting.store import write

_OTHER = str.maketrans(
    string.ascii_lowercase, string.ascii_lowercase[5:] + string.ascii_lowercase[:5]
)

SENTENCES = {
    "runs": ("note", "mode_reason", "error"),
    "forecasts": ("reason",),
    "models": ("refused",),
    "fetches": ("detail",),
    "findings": ("detail",),
}
"""Columns that hold a sentence; beside them `runs.notes` has some by kind."""


def reworded(text: str) -> str:
    """Another sentence: no word in lower case stays, nor how it begins and ends."""
    return f"« {text.translate(_OTHER)} »" if text else text


@contextmanager
def in_other_words() -> Iterator[None]:
    """Within the block every sentence is reworded where it is made."""
    with pytest.MonkeyPatch.context() as patch:
        _reword_errors(patch)
        _reword_columns(patch)
        _reword_pages(patch)
        yield


def _reword_errors(patch):
    make = errors.ForecastingError.__init__

    def other(self, message="", *details):
        make(self, reworded(str(message)), *details)

    patch.setattr(errors.ForecastingError, "__init__", other)


def _reword_columns(patch):
    plain = write.plain

    def other(row, table):
        made = plain(row, table)
        for name in SENTENCES.get(table.name, ()):
            if made.get(name):
                made[name] = reworded(made[name])
        if table.name == "runs" and made.get("notes"):
            notes = json.loads(made["notes"])
            made["notes"] = json.dumps({kind: reworded(text) for kind, text in notes.items()})
        return made

    patch.setattr(write, "plain", other)


def _reword_pages(patch):
    """The functions of the wording room that return a text, wherever they were imported."""
    others = {
        function: _other(function)
        for _, function in inspect.getmembers(wording, inspect.isfunction)
        if function.__module__ == wording.__name__
        and inspect.signature(function).return_annotation in (str, "str")
    }
    assert len(others) > 10
    for name, module in list(sys.modules.items()):
        if name.startswith("forecasting."):
            for attribute, value in list(vars(module).items()):
                if inspect.isfunction(value) and value in others:
                    patch.setattr(module, attribute, others[value])


def _other(function):
    @wraps(function)
    def other(*args, **named):
        return reworded(function(*args, **named))

    return other
