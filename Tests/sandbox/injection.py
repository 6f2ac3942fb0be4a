"""Other constants and functions for an integration under test, put into its script.

A constant gets its other value right behind its own statement, on the same line: whatever is
derived from the constant (another one, a default argument, a class attribute) is derived from the
other value, and every line keeps its number. A function is replaced right before the entry guard,
when everything it may need is defined; a table of functions that stands above keeps the old one.
"""

import ast
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# The script's last statement; in a pack's unified script an embedded module may have a guard of its
# own before it.
ENTRY_GUARD = re.compile(r"^if __name__\b", re.MULTILINE)


class InjectionError(Exception):
    """A name that the script does not have, or a script without an entry guard.

    The text says which.
    """


def inject(
    code: str, constants: Mapping[str, Any], replacements: Mapping[str, str], file: object = None
) -> str:
    """Return a script's code with other constants and functions.

    constants: name of a module's constant to its value, anything whose repr() is Python.
    replacements: name of a function (`name`), a method (`Class.name`, inherited ones too) or an
        attribute of an imported module (`time.time`) to the text of an expression that takes its
        place; in it `original` is what stood there before.
    file: the code's own file, named again behind what is put in (see loop.py), so that the lines
        there are the file's.
    Raises InjectionError for a name that the script does not define.
    """
    names = _names(code)
    if unknown := [name for name in replacements if not names.has(name)]:
        raise InjectionError(
            f"The integration has no function, class or import for {', '.join(unknown)}."
        )
    code = _with_constants(code, names.ends, constants)
    return _with_replacements(code, replacements, file) if replacements else code


class _Names(NamedTuple):
    """What can be replaced in a script, at the top level of its module."""

    ends: dict[str, tuple[int, int]]  # by a constant's name, line and column behind its statement
    functions: set[str]
    owners: set[str]  # classes and imports, whose attributes can be replaced

    def has(self, name: str) -> bool:
        """Return whether something with this name can be replaced by a function."""
        return name in self.functions or name.rpartition(".")[0] in self.owners


# Parsing the integration takes as long as starting its container, and tests start many of one text.
@functools.lru_cache(maxsize=4)
def _names(code: str) -> _Names:
    """Return what can be replaced in a script."""
    body = ast.parse(code).body
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    owners = {node.name for node in body if isinstance(node, ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.Import):
            owners |= {alias.asname or alias.name for alias in node.names}
    return _Names(_ends(body), {node.name for node in body if isinstance(node, functions)}, owners)


def _ends(body: Iterable[ast.stmt]) -> dict[str, tuple[int, int]]:
    """Return where the last assignment to each name ends."""
    ends: dict[str, tuple[int, int]] = {}
    for statement in body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for target in (
                statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            ):
                if isinstance(target, ast.Name):
                    ends[target.id] = (statement.end_lineno or 0, statement.end_col_offset or 0)
    return ends


def _with_constants(
    code: str, ends: Mapping[str, tuple[int, int]], constants: Mapping[str, Any]
) -> str:
    """Return the code with an assignment of the other value behind each constant's own."""
    if unknown := [name for name in constants if name not in ends]:
        raise InjectionError(
            f"The integration has no constant {', '.join(unknown)} at the top level of its module."
        )
    lines = code.encode().splitlines(keepends=True)  # the columns of ast count bytes
    for name, value in sorted(constants.items(), key=lambda item: ends[item[0]], reverse=True):
        number, column = ends[name]
        line = lines[number - 1]
        lines[number - 1] = line[:column] + f"; {name} = {value!r}".encode() + line[column:]
    return b"".join(lines).decode()


def _with_replacements(code: str, replacements: Mapping[str, str], file: object) -> str:
    """Return the code with the replacements before its entry guard, whose line keeps its number."""
    guards = list(ENTRY_GUARD.finditer(code))
    if not guards:
        raise InjectionError(
            "The integration has no entry guard (if __name__ in ...) to put anything before."
        )
    start = guards[-1].start()
    text = "".join(
        f"def _injected(original):\n    return ({expression})\n{name} = _injected({name})\n"
        for name, expression in replacements.items()
    )
    if not file:
        return code[:start] + text + code[start:]
    # These stand behind the API modules, where there are any.
    own_lines = code[:start].rpartition(f"# file: {file}\n")[2]
    blank = "\n" * own_lines.count("\n")
    return f"{code[:start]}# file: <injected>\n{text}# file: {file}\n{blank}{code[start:]}"
