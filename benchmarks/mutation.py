"""Which small changes of the code no test notices: mutmut on the modules of `[tool.mutmut]` in pyproject.toml.

    make mutants                                    # 2,700 changes, half an hour on two cores
    make mutants ONLY='forecasting.evaluate.scores*' # one module, whatever its results were before

Results stay in the folder `mutants`: a change is tried again only once its function has changed, or with ONLY. Changes
that survived are tried again each time. A test that fails, or does not end, kills a change.

Prints one Markdown table: changes of each module, killed ones, survivors that `survivors.toml` lists with a reason, and
the others, which follow with their function. The exit code is 1 when there are others, or fewer than 90 % are killed.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
SURVIVORS = Path(__file__).parent / "survivors.toml"

KILLED = (1, 3, 36, 24, -24, 152, 255)
"""mutmut's codes: a test failed, pytest did, or time ran out."""

LEAST_KILLED = 0.9

CONTEXT = 24
"""Characters before and after a change that distinguish it from others of its function."""


class Module(NamedTuple):
    """The changes of one module: how many, how many killed, and the survivors by mutmut's name."""

    path: str
    changes: int
    killed: int
    survivors: dict[str, str]


def main() -> None:
    """Run mutmut and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of changes, * for any text; all without it")
    parser.add_argument("--report", action="store_true", help="print the table of the last run")
    options = parser.parse_args()
    if not options.report:
        forget_survivors()
        names = [options.only] if options.only else []
        command = [Path(sys.executable).with_name("mutmut"), "run", *names]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    modules = [module_of(path) for path in sorted(MUTANTS.glob("forecasting/**/*.meta")) if was_tried(path)]
    listed = listed_survivors()
    rows, others = [], []
    for module in modules:
        unlisted = [text for text in module.survivors.values() if text not in listed.get(module.path, ())]
        rows.append((module.path, module.changes, module.killed, len(module.survivors) - len(unlisted), len(unlisted)))
        others += [f"{module.path} {text}" for text in unlisted]
    rows.append(("all", *(sum(row[place] for row in rows) for place in range(1, 5))))
    print("| module | changes | killed | survive, listed | survive, not listed |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(f"| {path} | {n:,} | {killed:,} | {known} | {new} |" for path, n, killed, known, new in rows))
    print("\n".join(["", *others]))
    sys.exit(1 if others or rows[-1][2] < LEAST_KILLED * rows[-1][1] else 0)


def forget_survivors() -> None:
    """Let mutmut try survivors again: it would keep their results, although tests have been added since."""
    for path in MUTANTS.glob("forecasting/**/*.meta"):
        results = json.loads(path.read_text())
        codes = results["exit_code_by_key"]
        results["exit_code_by_key"] = {name: code if code in KILLED else None for name, code in codes.items()}
        path.write_text(json.dumps(results))
    (MUTANTS / "mutmut-stats.json").unlink(missing_ok=True)  # which test reaches which function, measured anew


def listed_survivors() -> dict[str, set[str]]:
    """The survivors that are listed with a reason, by module."""
    listed: dict[str, set[str]] = {}
    for entry in tomllib.loads(SURVIVORS.read_text())["survivors"]:
        for module, changes in entry["changes"].items():
            listed.setdefault(module, set()).update(changes)
    return listed


def was_tried(path: Path) -> bool:
    """Whether a change of the module has a result, given mutmut's file of them; with ONLY most modules have none."""
    return any(code is not None for code in json.loads(path.read_text())["exit_code_by_key"].values())


def module_of(path: Path) -> Module:
    """What became of a module's changes, given mutmut's file of its results."""
    codes = json.loads(path.read_text())["exit_code_by_key"]
    survivors = [name for name, code in codes.items() if code not in KILLED]
    text = path.with_suffix("").read_text() if survivors else ""
    functions = {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    return Module(
        str(path.with_suffix("").relative_to(MUTANTS)),
        len(codes),
        len(codes) - len(survivors),
        {name: change_text(functions, name.rpartition(".")[2]) for name in survivors},
    )


def change_text(functions: dict[str, str], name: str) -> str:
    """The change with its function and what stands around it in its line, as `function: before{old -> new}after`."""
    original = name.rpartition("__mutmut_")[0]
    function = re.split("ǁ|^x_", original)[-1]
    before, after = (functions[full].replace(full, function) for full in (f"{original}__mutmut_orig", name))
    old, new = (re.findall(r"\w+|\s+|.", text) for text in (before, after))
    start = shared_words(old, new)
    end = shared_words(old[start:][::-1], new[start:][::-1])
    around = "".join(old[:start]).rpartition("\n")[2].lstrip(), "".join(old[len(old) - end :]).partition("\n")[0]
    change = " -> ".join("".join(words[start : len(words) - end]) for words in (old, new))
    return f"{function}: {around[0][-CONTEXT:]}{{{change}}}{around[1][:CONTEXT]}"


def shared_words(old: list[str], new: list[str]) -> int:
    """The number of first words that both have."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (was, now) in pairs if was != now), min(len(old), len(new)))


if __name__ == "__main__":
    main()
