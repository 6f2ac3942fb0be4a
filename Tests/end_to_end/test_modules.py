"""The integration's files: four libraries and a table that know nothing of each other.

demisto-sdk pastes the text of an API module in place of each import of it, so that all files share
one namespace in the script that runs.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from Tests.sandbox.descriptor import API_MODULES, INTEGRATION

MODULES = sorted(API_MODULES.glob("*/*ApiModule.py"))
OUR_IMPORT = re.compile(r"^from (\w+ApiModule) import \*  # noqa: E402$", re.MULTILINE)


def bindings(file: Path) -> dict[str, str]:
    """Return what each name at a file's top level stands for: an import's path, or the file."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {
                alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        targets: list[ast.expr] = []
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found[statement.name] = file.stem
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        found |= {target.id: file.stem for target in targets if isinstance(target, ast.Name)}
    return found


def same_thing(first: str, second: str) -> bool:
    """Return whether two imports bind the same module.

    `gevent` and `gevent.socket` both bind gevent.
    """
    return first == second or first.partition(".")[0] == second.partition(".")[0] != ""


def test_a_name_stands_for_one_thing_in_all_files() -> None:
    meanings: dict[str, dict[str, str]] = defaultdict(dict)
    for file in [*MODULES, INTEGRATION]:
        for name, meaning in bindings(file).items():
            meanings[name][file.stem] = meaning
    clashes = {
        name: found
        for name, found in meanings.items()
        if name != "*"
        and not all(same_thing(meaning, next(iter(found.values()))) for meaning in found.values())
    }
    owners = {
        name: [file for file, meaning in found.items() if meaning == file]
        for name, found in meanings.items()
    }
    assert clashes == {}
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


@pytest.mark.parametrize("module", MODULES, ids=[module.stem for module in MODULES])
def test_a_module_imports_no_other_one(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    imported = [
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", ""), *(alias.name for alias in node.names)]
    ]
    ours = {other.stem for other in MODULES} | {
        INTEGRATION.stem,
        "demistomock",
        "CommonServerPython",
    }
    assert not ours & set(imported)
    # The SDK would replace it, in a comment too.
    assert not re.search(r"from \w+ApiModule import", text)


def test_the_integration_imports_each_module_once() -> None:
    imports = OUR_IMPORT.findall(INTEGRATION.read_text(encoding="utf-8"))
    assert sorted(imports) == [module.stem for module in MODULES]


@pytest.mark.parametrize("module", MODULES, ids=[module.stem for module in MODULES])
def test_a_module_says_what_it_is_for_and_what_it_knows_nothing_of(module: Path) -> None:
    said = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    assert re.search(r"\bknows\s+nothing\s+of\b", said)
    assert module.with_name(f"{module.stem}_test.py").exists()
    assert module.with_suffix(".yml").exists()


def test_the_files_keep_their_size() -> None:
    sizes = {
        file.stem: len(file.read_text(encoding="utf-8").splitlines())
        for file in [*MODULES, INTEGRATION]
    }
    data = sizes.pop("KnownSendersApiModule")
    assert data < 2000  # one row a sender
    assert sizes.pop(INTEGRATION.stem) <= 3200
    assert {name: size for name, size in sizes.items() if size > 1300} == {}
