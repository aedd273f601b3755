"""Which small changes of the code no test notices: mutmut on the modules of `[tool.mutmut]` in pyproject.toml.

    make mutants                                    # 2,700 changes, half an hour on two cores
    make mutants ONLY='forecasting.evaluate.scores*' # one module, whatever its results were before

Results stay in the folder `mutants`: a change is tried again only once its function has changed, or with ONLY. Changes
that survived are tried again each time. A test that fails, or does not end, kills a change.

Prints one Markdown table: changes of each module and killed ones; the survivors follow with their function. The exit
code is 1 when fewer than 95 % are killed: for the rest no test can notice a difference (docs/reliability.md).
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
KILLED = (1, 3, 36, 24, -24, 152, 255)  # mutmut's codes: a test failed, pytest did, or time ran out
LEAST_KILLED = 0.95
CONTEXT = 24  # characters before and after a change that distinguish it from others of its function


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
    rows = [(path, n, n - len(survivors)) for path, n, survivors in modules]
    rows.append(("all", *(sum(row[place] for row in rows) for place in (1, 2))))
    print("| module | changes | killed | |\n| --- | ---: | ---: | ---: |")
    print("\n".join(f"| {path} | {n:,} | {killed:,} | {killed / n:.1%} |" for path, n, killed in rows))
    print("\n".join(["", *(f"{path} {text}" for path, _, survivors in modules for text in survivors)]))
    sys.exit(1 if rows[-1][2] < LEAST_KILLED * rows[-1][1] else 0)


def forget_survivors() -> None:
    """Let mutmut try survivors again: it would keep their results, although tests have been added since."""
    for path in MUTANTS.glob("forecasting/**/*.meta"):
        results = json.loads(path.read_text())
        codes = results["exit_code_by_key"]
        results["exit_code_by_key"] = {name: code if code in KILLED else None for name, code in codes.items()}
        path.write_text(json.dumps(results))
    (MUTANTS / "mutmut-stats.json").unlink(missing_ok=True)  # which test reaches which function, measured anew


def was_tried(path: Path) -> bool:
    """Whether a change of the module has a result, given mutmut's file of them; with ONLY most modules have none."""
    return any(code is not None for code in json.loads(path.read_text())["exit_code_by_key"].values())


def module_of(path: Path) -> tuple[str, int, list[str]]:
    """A module's path, how many changes it has had and those that survived, given mutmut's file of its results."""
    codes = json.loads(path.read_text())["exit_code_by_key"]
    survivors = [name for name, code in codes.items() if code not in KILLED]
    text = path.with_suffix("").read_text() if survivors else ""
    functions = {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    module = str(path.with_suffix("").relative_to(MUTANTS))
    return module, len(codes), [change_text(functions, name.rpartition(".")[2]) for name in survivors]


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
