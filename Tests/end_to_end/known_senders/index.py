"""The section *Known senders* of docs/senders.md, made from the table of known senders.

``python -m Tests.end_to_end.known_senders.index`` prints it; with ``--write``, it replaces the
section of the document.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from Tests.sandbox.descriptor import API_MODULES, ROOT

# The module is imported by the name that it has on the platform.
sys.path.append(str(API_MODULES / "KnownSendersApiModule"))

import KnownSendersApiModule as table

COMMAND = "python -m Tests.end_to_end.known_senders.index --write"
DOCUMENT = ROOT / "docs/senders.md"
HEADING = "## Known senders"
SECTION = re.compile(rf"^{HEADING}\n.*?(?=\n## |\Z)", re.MULTILINE | re.DOTALL)
PARAMETERS = "../Packs/GenericWebhook/Integrations/GenericWebhook/README.md"
INTRODUCTION = """\
{heading}

With [*Recognize senders*]({parameters}#known-senders), the events of these {count} forms need no parameters for their name, severity and time, as far as they hold them; [mapping.md](mapping.md#recognizing-senders) says how a form is recognized.

{contents}

- A sender's name links to the public source of its facts: documentation, or a sample in a repository.
- *Setup* links to the vendor's section in this document, which may describe another of its products; every other sender needs a [scheme](#how-a-sender-authenticates) that it supports.
- Paths are written as in [mapping.md](mapping.md#paths), and the first that has a value counts.
- *Name* is the incident's name if the event has all of its fields; other fields take the place of those that are missing.
- *Identity* is what an alert's start and end have in common, or what names a single event.
- *Ended by* is what ends an alert ([The life of an alert](mapping.md#the-life-of-an-alert)): it makes the status `closed`, in upper or lower case; a value that ends in `*` is a prefix.
- *Events in* is the array whose elements are the events.
  *Inside* names the object that another sender wrote, which is recognized by itself; `decoded` is what an envelope carries as text.
"""  # noqa: E501 (one sentence a line)
COLUMNS = ("Sender", "Name", "Severity from", "Identity", "Ended by", "Events in")
NOTHING = "–"  # noqa: RUF001 (a dash is meant)

# A repository stands for another name in comments, as the table's docstring lists: "SEKOIA for
# SEKOIA-IO/intake-formats", with the folder in which the paths begin in parentheses.
SHORT_NAME = re.compile(r"([\w-]+) for ([\w-]+/[\w-]+)(?: \(([^)]+)\))?")
SOURCE = re.compile(
    r"(?P<address>https://[^\s;,]+)|(?P<repository>(?<![\w/.-])[\w-]+(?:/[\w.-]+)?)(?= |$)"
)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# ---- Where a row comes from


def rows_with_comments() -> Iterator[tuple[str, str, str]]:
    """Return each row's id with its category and the comment above it, in the table's order.

    A comment is that of all rows until the next one.
    """
    text = Path(table.__file__).read_text(encoding="utf-8").partition("\nKNOWN_SENDERS")[2]
    category, comment, is_read = "", "", True
    for line in text.splitlines():
        if line.startswith("    # ---- "):
            category = line.removeprefix("    # ---- ")
        elif line.startswith("    # "):
            comment = line[6:] if is_read else f"{comment} {line[6:]}"
            is_read = False
        elif row := re.match(r'    Sender\("([^"]+)"', line):
            yield row[1], category, comment
            is_read = True


def short_names() -> dict[str, tuple[str, str]]:
    """Return for each short name its repository and the folder in which its paths begin."""
    text = " ".join((table.__doc__ or "").partition("Sources:")[2].split())
    return {name: (repository, folder) for name, repository, folder in SHORT_NAME.findall(text)}


def source_of(comment: str, names: dict[str, tuple[str, str]]) -> str:
    """Return the address of the first source that a comment names, "" if it names none."""
    for source in SOURCE.finditer(comment):
        if source["address"]:
            return source["address"]
        name = source["repository"]
        if name in names or "/" in name:
            repository, folder = names.get(name, (name, ""))
            path = path_in_repository(comment[source.end() :], folder)
            return f"https://github.com/{repository}" + (f"/blob/HEAD/{path}" if path else "")
    return ""


def path_in_repository(text: str, folder: str) -> str:
    """Return the path with which a text begins, for an address; "" where it is none."""
    path = re.split(r"[;:,]| \(| and ", text, maxsplit=1)[0].strip()
    if not path or "..." in path or (" " in path and "/" not in path):
        return ""
    if UUID.fullmatch(path):  # a page has its samples next to it
        path += "_sample.md" if "(samples)" in text else ".md"
    return quote(f"{folder}/{path}" if folder else path)


# ---- What a row says


def code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    return "`" + text.replace("|", "\\|") + "`"


def paths(text: str) -> str:
    """Return paths with commas between them, each as code."""
    return ", ".join(code(path.strip()) for path in text.split(",") if path.strip()) or NOTHING


def shown_name(text: str) -> str:
    """Return the first form of a name, with the first path of each brace."""
    first = text.split(";", 1)[0].strip()
    short = re.sub(r"\{([^,}]+)[^}]*\}", r"{\1}", first)
    return code(re.sub(r"^\{([^}]+)\}$", r"\1", short)) if first else NOTHING


def shown_end(text: str) -> str:
    """Return the conditions that end an alert as a phrase: `status` is `closed` or `resolved`."""
    phrases = []
    for condition in filter(None, map(str.strip, text.split(";"))):
        path, _, values = condition.partition("=")
        *others, last = map(code, values.split("|"))
        phrases.append(f"{code(path)} is " + (f"{', '.join(others)} or {last}" if others else last))
    return ", or ".join(phrases) or NOTHING


def shown_events(row: table.Sender) -> str:
    """Return where the events of a payload are."""
    found = [paths(row.events)] if row.events else []
    if row.inside:
        found.append(f"inside {code(row.inside)}")
    return ", ".join(found) or NOTHING


def shown_sender(row: table.Sender, source: str, vendors: dict[str, str]) -> str:
    """Return a row's title with links to its source and to the section of its vendor."""
    title = f"[{row.title}]({source})" if source else row.title
    for vendor, anchor in vendors.items():
        if re.match(rf"{re.escape(vendor)}\b", row.title):
            return f"{title} ([setup](#{anchor}))"
    return title


# ---- The section


def section(document: str) -> str:
    """Return the section, with links to the sections of vendors that the document has."""
    vendors, names = vendors_of(document), short_names()
    rows = {row.id: row for row in table.KNOWN_SENDERS}
    lines, categories = [], []
    for category, listed in groupby(rows_with_comments(), lambda found: found[1]):
        categories.append(category)
        lines += ["", f"### {category}", "", f"| {' | '.join(COLUMNS)} |"]
        lines.append("| --- " * len(COLUMNS) + "|")
        for identifier, _, comment in listed:
            cells = cells_of(rows[identifier], source_of(comment, names), vendors)
            lines.append(f"| {' | '.join(cells)} |")
    contents = ", ".join(f"[{category}](#{anchor_of(category)})" for category in categories)
    introduction = INTRODUCTION.format(
        heading=HEADING, parameters=PARAMETERS, count=len(rows), contents=contents
    )
    return "\n".join([introduction.rstrip(), *lines]) + "\n"


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def cells_of(row: table.Sender, source: str, vendors: dict[str, str]) -> tuple[str, ...]:
    """Return the cells of a row, in the order of COLUMNS."""
    return (
        shown_sender(row, source, vendors),
        shown_name(row.name),
        paths(row.severity),
        paths(row.identity),
        shown_end(row.closed),
        shown_events(row),
    )


def vendors_of(document: str) -> dict[str, str]:
    """Return the anchor of each vendor that the document lists: `[Jira and Bitbucket](#jira)`."""
    listed = re.search(r"^Vendors:\n\n(?:- .*\n)+", document, re.MULTILINE)
    links = re.findall(r"\[([^]]+)\]\(#([^)]+)\)", listed[0] if listed else "")
    return {vendor: anchor for vendors, anchor in links for vendor in vendors.split(" and ")}


def main() -> None:
    """Print the section, or write it into the document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    made = section(document)
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(SECTION.sub(lambda _: made, document), encoding="utf-8")
    else:
        sys.stdout.write(made)


if __name__ == "__main__":
    main()
