"""Mutation testing: the tests of a folder against small faults in its code, one at a time.

    python -m tests.mutants [--folders sketch,numerics] [--number 60] [--seed 0]

A fault is sampled from all of the folder's; the folder's own tests run in a copy of the tree until
one fails. Each outcome is a line of `.mutants.jsonl`, so that a run goes on where one ended.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".mutants.jsonl"
SECONDS = 900  # after which a fault counts as seen: it makes something endless
TESTS = {  # the folder's own
    "sketch": ("tests/sketch", "tests/properties"),
    "numerics": ("tests/numerics",),
    "theory": ("tests/theory", "tests/claims"),
    "norms": ("tests/norms",),
    "measure": ("tests/measure", "tests/probe/test_ledger.py"),
}
OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
Fault = tuple[str, Callable[[], None]]  # what becomes of the code, and what makes it so


def faults(tree: ast.Module) -> Iterator[tuple[ast.AST, Fault]]:
    """Every fault that the code can be given, at its node; names in annotations and texts have
    none."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op):
                if type(op) in OPERATORS and not _of_types(node):
                    yield node, _replaced(node, "op", OPERATORS[type(op)]())
            case ast.Compare(ops=[op]):
                yield node, _replaced(node, "ops", [OPERATORS[type(op)]()])
            case ast.UnaryOp(op=ast.USub()):
                yield node, _replaced(node, "op", ast.UAdd())
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield node, _replaced(node, "operand", ast.UnaryOp(ast.Not(), operand))
            case ast.Constant(value=bool(value)):
                yield node, _replaced(node, "value", not value)
            case ast.Constant(value=int(value) | float(value)):
                yield node, _replaced(node, "value", value + 1)
            case ast.IfExp(body=body, orelse=orelse):
                yield node, _replaced(node, "body", orelse)
                yield node, _replaced(node, "orelse", body)
            case ast.If(test=test):
                yield node, _replaced(node, "test", ast.UnaryOp(ast.Not(), test))
            case ast.Return(value=ast.expr()):
                yield node, _replaced(node, "value", ast.Constant(None))


def _of_types(node: ast.AST) -> bool:
    """Whether it is a union of types, as in an alias."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.BitOr):
        return False
    left = ast.unparse(node.left).partition("[")[0]
    return left[:1].isupper() or left in ("int", "float", "str", "bytes", "tuple", "list", "dict")


def _replaced(node: ast.AST, field: str, value: Any) -> Fault:
    before = ast.unparse(node).splitlines()[0]
    kept = getattr(node, field)
    setattr(node, field, value)
    after = ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
    setattr(node, field, kept)
    return f"{before}  ->  {after}", lambda: setattr(node, field, value)


def sites(path: Path) -> tuple[ast.Module, list[tuple[ast.AST, Fault]]]:
    """A file's tree, and its faults outside of annotations."""
    tree = ast.parse(path.read_text())
    typed = {
        id(inside)
        for node in ast.walk(tree)
        for kind in ("annotation", "returns")
        if (typing := getattr(node, kind, None)) is not None
        for inside in ast.walk(typing)
    }
    return tree, [(node, fault) for node, fault in faults(tree) if id(node) not in typed]


def sampled(folder: str, number: int, seed: int) -> list[tuple[Path, int]]:
    """So many of a folder's faults, in a random order: the file, and which of its faults."""
    found = [
        (path.relative_to(ROOT), k)
        for path in sorted((ROOT / "src/depthscale" / folder).rglob("*.py"))
        for k in range(len(sites(path)[1]))
    ]
    return random.Random(f"{folder} {seed}").sample(found, min(number, len(found)))


def tried(folder: str, path: Path, k: int, copy: Path) -> dict[str, Any]:
    """What becomes of one fault, in a copy of the tree."""
    tree, found = sites(ROOT / path)
    node, (says, make) = found[k]
    make()
    (copy / path).write_text(ast.unparse(ast.fix_missing_locations(tree)))
    try:
        killed = _fails(folder, copy)
    finally:
        shutil.copy(ROOT / path, copy / path)
    site = {"folder": folder, "path": str(path), "number": k}
    return site | {"line": getattr(node, "lineno", 0), "says": says, "killed": killed}


def _fails(folder: str, copy: Path) -> bool:
    """Whether a test of a folder does, or none ends in time. What numba has compiled is kept for
    folders that hold none of its functions, nor what these are made of."""
    fresh = TESTS[folder][0] == "tests/sketch"
    with tempfile.TemporaryDirectory() as compiled:
        cache = compiled if fresh else str(copy / "compiled")
        paths = {"PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}", "NUMBA_CACHE_DIR": cache}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", *TESTS[folder]]
        try:
            done = subprocess.run(
                command, cwd=copy, env=os.environ | paths, timeout=SECONDS, capture_output=True
            )
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


def copied(folder: Path) -> Path:
    """The tree without what is no part of it."""
    unneeded = shutil.ignore_patterns(".*", "demo", "__pycache__", "docs")
    return shutil.copytree(ROOT, folder / "tree", ignore=unneeded)


def told(outcomes: list[dict[str, Any]]) -> str:
    """The kill rate of each folder and in all, and who survives."""
    lines = []
    for folder in (*TESTS, ""):
        own = [each for each in outcomes if not folder or each["folder"] == folder]
        killed = sum(each["killed"] for each in own)
        lines += [f"{folder or 'in all'}: {killed} of {len(own)} killed"] if own else []
    return "\n".join([*lines, *(_line(each) for each in outcomes if not each["killed"])])


def _line(outcome: dict[str, Any]) -> str:
    verdict = "killed" if outcome["killed"] else "survives"
    return f"{verdict:>8}  {outcome['path']}:{outcome['line']}  {outcome['says']}"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--folders", default=",".join(TESTS))
    asked.add_argument("--number", type=int, default=60, help="faults of each folder")
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    outcomes = [json.loads(line) for line in lines]
    known = {(each["path"], each["number"]) for each in outcomes}
    with tempfile.TemporaryDirectory() as place:
        copy = copied(Path(place))
        for folder in given.folders.split(","):
            if _fails(folder, copy):
                sys.exit(f"the tests of {folder} fail without a fault")
            for path, k in sampled(folder, given.number, given.seed):
                if (str(path), k) in known:
                    continue
                outcomes.append(tried(folder, path, k, copy))
                with RESULTS.open("a") as results:
                    results.write(f"{json.dumps(outcomes[-1])}\n")
                print(_line(outcomes[-1]), flush=True)
    print(told(outcomes))


if __name__ == "__main__":
    main()
