"""What the documents show and name is true.

That is: curl lines, links, limits, health sentences, log lines, mapping examples and the index of
known senders. Each parameter, scheme, status and product has one home, to which the others link.
"""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from Packs.GenericWebhook.Integrations.GenericWebhook import GenericWebhook as integration
from Tests.end_to_end.known_senders import index
from Tests.end_to_end.sender import Sender, running
from Tests.sandbox import STOP_SECONDS
from Tests.sandbox.descriptor import INTEGRATION, ROOT

ADDRESS = "http://127.0.0.1:8080/instance/execute/webhook"
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("Packs/**/*.md"),
        *ROOT.glob("Tests/*/README.md"),
    ]
)
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
CONFIGURATION = yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["configuration"]
FORM = [
    row for row in CONFIGURATION if row.get("hidden") is not True and row["name"] != "other_methods"
]
NAMES = {row["display"]: row["name"] for row in FORM}
ANSWERED = re.compile(r"# answered ([1-5][0-9]{2})")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


# ---- curl lines


def curl_lines(text: str) -> list[tuple[str, int]]:
    """Return the curl lines of fenced sh blocks, each with its status by the comment below it."""
    lines: list[tuple[str, int]] = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            answered = ANSWERED.fullmatch(line.strip())
            if answered:
                lines[-1] = (lines[-1][0], int(answered[1]))
            elif "curl " in line and ADDRESS in line:
                lines.append((line, 200))
    return lines


def test_the_lines_are_found_as_a_reader_copies_them() -> None:
    text = (
        f"```sh\ncurl {ADDRESS} -d 1\nprintf x | curl {ADDRESS} -d @-\n"
        f"# answered 400\n```\ncurl {ADDRESS} -d prose\n"
    )
    assert curl_lines(text) == [
        (f"curl {ADDRESS} -d 1", 200),
        (f"printf x | curl {ADDRESS} -d @-", 400),
    ]


LINES = [
    line
    for name in ("README.md", "docs/bodies.md")
    for line in curl_lines((ROOT / name).read_text(encoding="utf-8"))
]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Sender]:
    with running() as sender:
        yield sender


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("line", "status"), LINES)
def test_a_curl_line_does_what_it_shows(webhook: Sender, line: str, status: int) -> None:
    command = line.replace(ADDRESS, webhook.sandbox.url).replace(
        "curl ", "curl -sS -w '\\n%{http_code}' ", 1
    )
    before = len(webhook.sandbox.incidents())
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(done.stdout.rpartition("\n")[2]) == status, done.stdout
    assert (len(webhook.sandbox.incidents()) > before) == (status == 200)


def test_there_are_enough_lines() -> None:
    assert len(LINES) >= 20


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_curl_line_names_the_method_that_its_data_implies(document: Path) -> None:
    """-POST is curl's -P OST, a port for FTP; -X POST is sent again after a redirect."""
    lines = re.findall(r"curl .*", document.read_text(encoding="utf-8"))
    assert not [line for line in lines if re.search(r"\s-(?:X ?|-request )?POST\b", line)]


# ---- links


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return set(map(anchor_of, headings))


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT))
)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


# What a newcomer reads until there is an incident, three tools post to one instance, and a 401 is
# explained: the README, and the sections to which it links for these.
NEWCOMER = {
    "docs/install.md": ("2. Upload it", "XSOAR 6"),
    "docs/senders.md": ("Slack", "GitHub", "Prometheus Alertmanager"),
    "docs/operations.md": ("The sender gets 401 or 403",),
}


def test_a_newcomer_reads_little() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    words = len(readme.split())
    for document, headings in NEWCOMER.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        for heading in headings:
            assert f"({document}#{anchor_of(heading)})" in readme
            _, _, below = text.partition(f"# {heading}\n")
            words += len(re.split(r"\n##+ ", below)[0].split())
    assert 1_000 < words <= 2_500


# ---- limits, health and log


def shown(value: float) -> set[str]:
    """Return the ways in which a document may write a limit: a count, bytes or seconds."""
    ways = {f"{value:,}", f"{value:,} s", f"{value:g} s", f"{value * 1000:g} ms"}
    for unit, size in (("KiB", 1024), ("MiB", 1024 * 1024)):
        if value % size == 0:
            ways.add(f"{value // size:,} {unit}")
    return ways


LIMITS = [
    (cells[1], cells[2], re.findall(r"`([A-Z_]+)`", cells[4]))
    for cells in (row.split("|") for row in OPERATIONS.splitlines())
    if len(cells) == 6 and "`" in cells[4]
]


@pytest.mark.parametrize(
    ("limit", "value", "constants"), LIMITS, ids=[limit.strip() for limit, *_ in LIMITS]
)
def test_a_limit_is_that_of_the_code(limit: str, value: str, constants: list[str]) -> None:
    for constant in constants:
        words = re.split(r", (?=[a-z])|, | or |(?<=\d) (?=levels|lines|connections)", value.strip())
        number = getattr(integration, constant)
        assert any(
            way in word.split(" of ")[0] or way in word
            for word in [value, *words]
            for way in shown(number)
        ), constant


# A sentence that names constants in brackets, as in: at most 1,000 incidents (`MAX_CALL_INCIDENTS`)
CONSTANTS = [
    (sentence, constant)
    for document in DOCUMENTS
    for sentence in document.read_text(encoding="utf-8").splitlines()
    for names in re.findall(r"\([^()]*`[A-Z]+_[A-Z_]+`[^()]*\)", sentence)
    for constant in re.findall(r"`([A-Z]+_[A-Z_]+)`", names)
]


@pytest.mark.parametrize(("sentence", "constant"), CONSTANTS)
def test_a_number_in_a_sentence_is_that_of_its_constant(sentence: str, constant: str) -> None:
    number = getattr(integration, constant)
    assert any(re.search(rf"(?<![\d.,]){re.escape(way)}\b", sentence) for way in shown(number))


def test_constants_are_found_in_sentences() -> None:
    assert len(CONSTANTS) > 20


def sentences() -> list[str]:
    """Return how each sentence in health or log begins: the part before the first variable."""
    begins = []
    for node in ast.walk(ast.parse(INTEGRATION.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("report", "info", "error")
        ):
            place = 1 if node.func.attr == "report" else 0
            text = node.args[place] if len(node.args) > place else None
            if isinstance(text, ast.Subscript):
                text = text.value
            if (
                isinstance(text, ast.JoinedStr)
                and text.values
                and isinstance(text.values[0], ast.Constant)
            ):
                begins.append(str(text.values[0].value))
            elif isinstance(text, ast.Constant) and text.value:
                begins.append(str(text.value))
    return begins


@pytest.mark.parametrize("sentence", sentences())
def test_a_sentence_of_health_or_log_is_explained(sentence: str) -> None:
    words = sentence.split()[:4]
    assert any(
        " ".join(words[:count]) in OPERATIONS
        for count in range(len(words), min(len(words), 2) - 1, -1)
    ), sentence


def test_sentences_are_found() -> None:
    assert len(sentences()) > 10


# ---- docs/install.md: updating and removing


def section(document: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_upgrade_s_times_are_those_of_the_code() -> None:
    text = section("docs/install.md", "Upgrade")
    assert f"for up to {integration.DRAIN_SECONDS:g} s" in text
    assert f"the stop takes {STOP_SECONDS:g} s at most" in text


@pytest.mark.parametrize("heading", ["Upgrade", "Uninstall"])
def test_the_commands_and_their_outputs_exist(heading: str) -> None:
    text = section("docs/install.md", heading)
    commands = yaml.safe_load(INTEGRATION.with_suffix(".yml").read_text())["script"]["commands"]
    outputs = {
        output["contextPath"].rpartition(".")[2]
        for command in commands
        for output in command.get("outputs", ())
    }
    named = re.findall(r"`!([\w-]+)", text)
    assert named
    assert {command["name"] for command in commands} >= set(named)
    assert outputs >= set(re.findall(r"(?<!\*)\*([A-Z]\w+)\*(?!\*)", text))


@pytest.mark.parametrize(
    ("document", "begin", "end"),
    [
        ("docs/install.md", "### XSIAM", "\n### "),
        ("Packs/GenericWebhook/README.md", "#### Before you start", "\n#### "),
        (
            "Packs/GenericWebhook/Integrations/GenericWebhook/GenericWebhook_description.md",
            "<~XSIAM>",
            "</~XSIAM>",
        ),
    ],
)
def test_who_installs_on_xsiam_reads_what_its_guide_says(
    document: str, begin: str, end: str
) -> None:
    text = (ROOT / document).read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    assert "administrator guide of 22 May 2024 says that only long-running integrations" in text


# ---- mapping: each row of a table in docs/mapping.md, with the payload above it


MAPPING = (ROOT / "docs/mapping.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| \*([^|*]+)\* \| (`.+`) \| `(\w+)` \| (`.+`) \|")
ALSO = re.compile(r"\*([^*`]+)\* `([^`]+)`")
NO_REQUEST = integration.RequestContext({}, {})
NOW = "2024-05-01T12:00:00Z"
BLOCK_OR_ROW = re.compile(
    r"```json\n(?P<payload>.*?)```|^(?P<row>\| \*[^|*\n]+\* \| `[^\n]*\|)$",
    re.DOTALL | re.MULTILINE,
)


def examples() -> list[tuple[str, dict[str, str], str, list[str]]]:
    """Return payload, parameters, field and its value in each incident, for every row."""
    payload, found = "", []
    for match in BLOCK_OR_ROW.finditer(MAPPING):
        if match["payload"]:
            payload = match["payload"]
            continue
        row = ROW.fullmatch(match["row"])
        assert row, match["row"]
        text = re.findall(r"`([^`]+)`", row[2])[0]
        also = {NAMES[label]: value for label, value in ALSO.findall(row[2])}
        params = {NAMES[row[1]]: text, **also}
        found.append((payload, params, row[3], re.findall(r"`([^`]+)`", row[4])))
    return found


EXAMPLES = examples()


def test_the_examples_are_found() -> None:
    assert len(EXAMPLES) >= 20


def fields_of(payload: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fields of each incident that the integration makes of a payload."""
    settings = integration.Settings.from_params({"longRunningPort": "8000", **params})
    assert not settings.mistakes
    items = integration.read_payload(payload.encode(), "application/json", "", {}, False)
    return [
        incident.fields
        for incident in integration.EventMaker(NO_REQUEST, settings, NOW, "0a" * 6).make(items)
    ]


@pytest.mark.parametrize(
    ("payload", "params", "field", "expected"), EXAMPLES, ids=[str(row[1]) for row in EXAMPLES]
)
def test_a_row_is_true(
    payload: str, params: dict[str, Any], field: str, expected: list[str]
) -> None:
    assert [str(fields[field]) for fields in fields_of(payload, params)] == expected
    json.loads(payload)


def test_the_first_row_is_true_over_http() -> None:
    payload, params, field, expected = EXAMPLES[0]
    with running(params=params) as sender:
        incidents = sender.create(payload, "application/json")
        assert [str(incident[field]) for incident in incidents] == expected
        assert sender.sandbox.health == ""


def test_the_severity_table_is_the_integration_s() -> None:
    rows = re.findall(r"^\| ([0-9.]+), \w+ \| ([a-z0-9, ]+) \|$", MAPPING, re.MULTILINE)
    assert len(rows) == 6
    words = [(word, float(number)) for number, words in rows for word in words.split(", ")]
    incidents = fields_of(
        json.dumps([{"level": word, "x": 1} for word, _ in words]), {"severity_from": "level"}
    )
    assert [incident["severity"] for incident in incidents] == [number for _, number in words]
    assert dict(words) == integration.SEVERITIES


# ---- homes: where each parameter, scheme, status and product is described
#
# A thing is described where a heading is its name, or a row of a table of such things begins with
# it. Every other document that speaks of it links to that one. The pack's own documents are read
# without the repository, so they repeat what their readers need, and are home to parameters only.

PARAMETERS = "Packs/GenericWebhook/Integrations/GenericWebhook/README.md"
SCHEMES, STATUSES, PRODUCTS = "docs/senders.md", "docs/operations.md", "docs/install.md"
GUIDES = {
    str(file.relative_to(ROOT)): re.sub(r"(?ms)^ *```.*?^ *```", "", file.read_text("utf-8"))
    for file in (ROOT / PARAMETERS, *sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]))
    if file.name != "CHANGELOG.md"  # it speaks of versions, not of what is
}
OTHERS = [path for path in GUIDES if path != PARAMETERS]
TABLE = re.compile(r"(?m)^ *\|.*\n *\|[ |-]+\|$(?:\n *\|.*)*")
HEADING = re.compile(r"(?m)^#+ (.+)$")


def answered() -> list[str]:
    """Return the statuses that the integration answers, as its files name them."""
    numbers = set()
    for file in (INTEGRATION, *(ROOT / "Packs/ApiModules/Scripts").glob("*/*Module.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("HTTPError", "Answer", "Outcome", "__init__"):
                numbers |= {getattr(part, "value", None) for part in ast.walk(node.args[0])}
    return sorted(str(each) for each in numbers if isinstance(each, int) and 200 <= each < 600)


class Kind(NamedTuple):
    """What things of a kind are called, where their home is, and what speaks of one of them."""

    things: list[str]
    home: str
    column: str  # the heading of the first column of their table
    spoken_of: str  # a pattern, with {} for the thing


KINDS = {
    "parameter": Kind([*NAMES, "Password"], PARAMETERS, "Parameter", r"\*{}\*"),
    "scheme": Kind(
        [*integration.TOKEN_SCHEMES, *integration.make_schemes(use_proxy=False)],
        SCHEMES,
        "Username",
        r"`{}(?![\w-])",
    ),
    "status": Kind(
        answered(), STATUSES, "Status", r"\b(?:answer(?:ed|s)|gets?|with|an?) \[?{}\b(?! [a-z]+s\b)"
    ),
    "product": Kind(
        ["XSOAR 6", "XSOAR 8 Cloud", "XSIAM", "XSOAR 8 On-prem", "engine"],
        PRODUCTS,
        "Product",
        r"\b{}s?\b",
    ),
}
THINGS = [(kind, thing) for kind in KINDS for thing in KINDS[kind].things]


def named_in(text: str) -> set[str]:
    """Return the things that a heading or the first cell of a row names."""
    plain = re.sub(r"^An? |[*`]|:<[^>]*>", "", text.strip())
    return set(re.split(r", | and ", plain)) | {plain}


def described_in(document: str, column: str) -> set[str]:
    """Return what a document describes: by its headings, and by the tables with this column."""
    found = set().union(*map(named_in, HEADING.findall(document)))
    for table in TABLE.findall(document):
        first, _, *rows = (row.split("|")[1] for row in table.splitlines())
        if named_in(first) & {column}:
            found |= set().union(*map(named_in, rows))
    return found


@pytest.mark.parametrize(("kind", "thing"), THINGS)
def test_a_thing_is_described_in_one_document(kind: str, thing: str) -> None:
    home = KINDS[kind].home
    assert [
        path
        for path, text in GUIDES.items()
        if path in (home, *OTHERS) and thing in described_in(text, KINDS[kind].column)
    ] == [home]


@pytest.mark.parametrize("path", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_links_to_the_home_of_what_it_speaks_of(kind: str, path: str) -> None:
    things, home, _, pattern = KINDS[kind]
    text = GUIDES[path]
    linked = {
        (ROOT / path).parent.joinpath(link.partition("#")[0]).resolve()
        for link in LINK.findall(text)
    }
    spoken_of = [thing for thing in things if re.search(pattern.format(re.escape(thing)), text)]
    assert path == home or not spoken_of or ROOT / home in linked


@pytest.mark.parametrize("name", ["README.md", "GenericWebhook_description.md"])
def test_what_the_pack_repeats_of_the_schemes_is_complete(name: str) -> None:
    named = re.findall(r"`(_[a-z0-9-]+)", INTEGRATION.with_name(name).read_text(encoding="utf-8"))
    assert set(named) == set(KINDS["scheme"].things)


def test_the_homes_are_found_as_a_reader_sees_them() -> None:
    table = "| *Status* | x |\n| --- | --- |\n| `404`, 405 | y |\n| z | 503 |\n"
    text = f"## A thing and another\n\n{table}"
    assert {"thing", "another", "404", "405", "z"} <= described_in(text, "Status")
    assert not described_in(text, "Parameter") & {"404", "405", "z"}
    assert "503" not in described_in(text, "Status")
    assert {"202", "401", "415", "502", "503"} <= set(answered())


# ---- docs/senders.md: the index of known senders


AT_LEAST = {  # what a document has more of than it says
    "known forms": len(integration.KNOWN_SENDERS),
    "forms of payload": sum(bool(row.closed) for row in integration.KNOWN_SENDERS),
    "tools": len([*(ROOT / "Tests/end_to_end/deliveries").glob("*.http")]),
    "payload formats": len(integration.KNOWN_SENDERS),
}
COUNTS = [
    (document.name, int(number), what)
    for document in DOCUMENTS
    for number, what in re.findall(
        rf"more than (\d+) ({'|'.join(sorted(AT_LEAST, key=len, reverse=True))})",
        document.read_text(encoding="utf-8"),
    )
]


@pytest.mark.parametrize(("document", "number", "what"), COUNTS)
def test_there_are_more_than_a_document_says(document: str, number: int, what: str) -> None:
    assert number < AT_LEAST[what] < number + 100


def test_the_index_of_known_senders_is_that_of_the_table() -> None:
    document = index.DOCUMENT.read_text(encoding="utf-8")
    written = index.SECTION.findall(document)
    assert written == [index.section(document)], f"to write it again: {index.COMMAND}"


def test_the_index_has_every_known_sender_once_with_a_source() -> None:
    rows = list(index.rows_with_comments())
    assert [row for row, *_ in rows] == [row.id for row in integration.KNOWN_SENDERS]
    assert all(category and comment for _, category, comment in rows)


@pytest.mark.parametrize(
    ("comment", "address"),
    [
        ("https://example.com/a; severities: https://example.com/b", "https://example.com/a"),
        ("owner/name a folder/b.json and c.json", "owner/name/blob/HEAD/a%20folder/b.json"),
        ("short b.json; owner/name c.json", "owner/long/blob/HEAD/folder/b.json"),
        ("Fields in owner/name (tests)", "owner/name"),
        ("owner/name Packs/.../b.json", "owner/name"),
        ("Its own description", ""),
    ],
)
def test_a_sender_links_to_the_first_source_of_its_comment(comment: str, address: str) -> None:
    found = index.source_of(comment, {"short": ("owner/long", "folder")})
    assert found.removeprefix("https://github.com/") == address
