"""What the container is started with: the descriptor's parameters and the script's text."""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from .injection import inject
from .page.signing import SIGNATURES, TOKEN_SCHEMES

ROOT = Path(__file__).resolve().parents[2]
INTEGRATION = ROOT / "Packs/GenericWebhook/Integrations/GenericWebhook/GenericWebhook.py"
API_MODULES = ROOT / "Packs/ApiModules/Scripts"
MODULE_IMPORT = re.compile(r"^from (\w+ApiModule) import \*(?:  # noqa: E402)?\n", re.MULTILINE)
BOOLEAN, CREDENTIALS, TEXT_AREA, SINGLE_SELECT, MULTI_SELECT = 8, 9, 12, 15, 16
BOOLEANS = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
    "": False,
}
# The platform's own order: the server prepends CommonServerPython, and these two lines are all that
# it removes from a script. They are left blank, so that every other line keeps its number.
IMPORT_LINES = re.compile(
    r"^(?:import demistomock as demisto|from CommonServerPython import \*)(?:[ \t].*)?$",
    re.MULTILINE,
)


class DescriptorError(Exception):
    """A parameter or a pack that cannot be used; the text tells the user which and why."""


@dataclass(frozen=True)
class Parameter:
    """One field of the instance's form."""

    name: str
    type: int = 0
    default: Any = None
    row: Mapping[str, Any] = field(default_factory=dict)  # of the YAML, as it is


# Stands in for the YAML where there is none: a script of a test's own.
FALLBACK = {
    parameter.name: parameter
    for parameter in (
        Parameter("longRunning", BOOLEAN, "true"),
        Parameter("longRunningPort"),
        Parameter("credentials", CREDENTIALS),
        Parameter("certificate", 12),
        Parameter("key", 14),
        Parameter("incidentType", 13),
        Parameter("store_samples", BOOLEAN),
        Parameter("duplication_key"),
        Parameter("mirror_direction", 15),
        Parameter("mirror_instance"),
        Parameter("mirror_tags"),
    )
}


@dataclass(frozen=True)
class Descriptor:
    """An integration: its parameters and its code."""

    code: str
    parameters: dict[str, Parameter] = field(default_factory=lambda: dict(FALLBACK))
    strict: bool = True  # False: a name that is not declared is handed over as it is
    file: Path | None = None  # where the code stands; None for a pack's, whose lines are no file's
    display: str = "Generic Webhook"
    sections: tuple[str, ...] = ()
    help: str = ""  # Markdown, shown beside the form
    mirrors_in: bool = False  # the server asks it for incidents that have changed

    def script(self) -> str:
        """Return the text the loop runs: CommonServerPython and the integration, in one namespace.

        If the integration has a file, a comment between them names it for loop.py.
        """
        place = f"# file: {self.file}\n" if self.file else ""
        return (
            IMPORT_LINES.sub("", common_server_python())
            + "\n"
            + place
            + IMPORT_LINES.sub("", self.code)
        )

    def injected(
        self, constants: Mapping[str, Any], replacements: Mapping[str, str]
    ) -> "Descriptor":
        """Return the integration with other constants and functions; see injection.py.

        Raises InjectionError.
        """
        if not constants and not replacements:
            return self
        return replace(self, code=inject(self.code, constants, replacements, self.file))

    def params(self, given: Mapping[str, Any], files: bool = True) -> dict[str, Any]:
        """Return what `demisto.params()` is to return: the defaults, and what is given.

        Raises DescriptorError for a name that is not declared.
        """
        params = {
            name: value_of(parameter, parameter.default)
            for name, parameter in self.parameters.items()
        }
        return {**params, **self.given(given, files)}

    def given(self, given: Mapping[str, Any], files: bool = True) -> dict[str, Any]:
        """Return the values of some parameters, as the server sends them.

        files: whether `@path` as a value stands for the file's text.
        Raises DescriptorError for a name that is not declared.
        """
        params = {}
        for name, value in given.items():
            parameter = self.parameters.get(name)
            if parameter is None and self.strict:
                known = ", ".join(self.parameters)
                raise DescriptorError(
                    f"There is no parameter {name!r}. The descriptor's parameters are: {known}."
                )
            params[name] = value if parameter is None else value_of(parameter, value, files)
        return params


def paste_modules(code: str, file: Path) -> str:
    """Return a script with the text of its API modules in place of their imports.

    demisto-sdk does the same for the zip. Here a line names the file of each part, for loop.py, and
    blank lines keep the numbers of the script's own lines.
    """

    def paste(found: re.Match[str]) -> str:
        module = API_MODULES / found[1] / f"{found[1]}.py"
        lines_before = "\n" * (code.count("\n", 0, found.start()) + 1)
        text = module.read_text(encoding="utf-8")
        return f"# file: {module}\n{text}\n# file: {file}\n{lines_before}"

    return MODULE_IMPORT.sub(paste, code)


def value_of(parameter: Parameter, value: Any, files: bool = True) -> Any:
    """Return a parameter's value as the server sends it.

    A text, as typed in the form, becomes a value of the parameter's type.
    """
    if parameter.type == CREDENTIALS:
        return credentials_of(value)
    if files and isinstance(value, str) and value.startswith("@"):
        value = read_text(parameter.name, Path(value[1:]))
    if parameter.type == BOOLEAN and (value is None or isinstance(value, str)):
        if (value or "").strip().lower() not in BOOLEANS:
            raise DescriptorError(
                f"The parameter {parameter.name!r} is a checkbox: "
                f"give true or false, not {value!r}."
            )
        return BOOLEANS[(value or "").strip().lower()]
    if parameter.type == MULTI_SELECT and (value is None or isinstance(value, str)):
        return [part.strip() for part in (value or "").split(",") if part.strip()]
    return "" if value is None else value


def credentials_of(value: Any) -> Any:
    """Return credentials as the form's two fields hold them.

    `user:password` is split at the first colon. A scheme that names a header or a field, such as
    `_hmac:NAME:secret`, is split at the second.
    """
    if value is not None and not isinstance(value, str):
        return value
    text = value or ""
    kind = text.partition(":")[0].strip().lower()
    signature = SIGNATURES.get(kind)
    named = kind in TOKEN_SCHEMES or (signature is not None and not signature.header)
    colon = text.find(":", text.find(":") + 1 if named else 0)
    identifier, password = (text[:colon], text[colon + 1 :]) if colon >= 0 else (text, "")
    return {"identifier": identifier, "password": password, "passwordChanged": False}


def read_text(name: str, path: Path) -> str:
    """Return a file's text for `name=@path`."""
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptorError(
            f"The parameter {name!r} names a file that cannot be read: {error}"
        ) from error


def common_server_python() -> str:
    """Return CommonServerPython: ours, or with CONTENT_PATH set the one of that checkout."""
    content = os.environ.get("CONTENT_PATH")
    if content:
        return Path(
            content, "Packs/Base/Scripts/CommonServerPython/CommonServerPython.py"
        ).read_text(encoding="utf-8")
    return (ROOT / "Tests/CommonServerPython/CommonServerPython.py").read_text(encoding="utf-8")


def load(script: Path | None = None, pack: Path | None = None) -> Descriptor:
    """Return the integration of a built pack, of a script of one's own, or of the source tree."""
    if pack is not None:
        return from_pack(pack)
    path = script or INTEGRATION
    try:
        code = paste_modules(path.read_text(encoding="utf-8"), path.resolve())
    except OSError as error:
        raise DescriptorError(f"The integration's code cannot be read: {error}") from error
    declared = path.with_suffix(".yml")
    if declared.exists():
        about = path.with_name(f"{path.stem}_description.md")
        shown = about.read_text(encoding="utf-8") if about.exists() else ""
        return described(parse_yaml(declared.read_bytes()), code, shown, path.resolve())
    return Descriptor(code, strict=script is None, file=path.resolve())


def from_pack(pack: Path) -> Descriptor:
    """Return the unified integration inside a pack's zip.

    It may be inside a zip within that zip, which the marketplace's upload takes as well.
    """
    try:
        found = list(unified(pack.read_bytes()))
    except (OSError, zipfile.BadZipFile) as error:
        raise DescriptorError(f"The pack {pack} cannot be read: {error}") from error
    if len(found) != 1:
        raise DescriptorError(
            f"The pack {pack} holds {len(found)} integrations with their code inside, not one."
        )
    return described(
        found[0], found[0]["script"]["script"], str(found[0].get("detaileddescription") or "")
    )


def unified(archive: bytes) -> Iterator[dict[str, Any]]:
    """Yield each YAML of an archive that is an integration with its code inside."""
    with zipfile.ZipFile(BytesIO(archive)) as files:
        for name in files.namelist():
            if name.endswith(".zip"):
                yield from unified(files.read(name))
            elif name.endswith(".yml") and "integration" in Path(name).name.lower():
                parsed = parse_yaml(files.read(name))
                if (
                    "configuration" in parsed
                    and isinstance(parsed.get("script"), dict)
                    and parsed["script"].get("script")
                ):
                    yield parsed


def parse_yaml(text: bytes) -> dict[str, Any]:
    """Return a descriptor's mapping."""
    # Both are the safe loader.
    parsed = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(parsed, dict):
        raise DescriptorError("The descriptor is no YAML mapping.")
    return parsed


def described(
    parsed: dict[str, Any], code: str, shown: str, file: Path | None = None
) -> Descriptor:
    """Return the integration of a parsed descriptor and its code."""
    sections = tuple(map(str, parsed.get("sectionorder") or ()))
    return Descriptor(
        code,
        parameters_of(parsed),
        file=file,
        display=str(parsed.get("display") or ""),
        sections=sections,
        help=shown,
        mirrors_in=bool((parsed.get("script") or {}).get("isremotesyncin")),
    )


def parameters_of(descriptor: dict[str, Any]) -> dict[str, Parameter]:
    """Return the parameters a descriptor declares, the hidden ones too."""
    rows = descriptor.get("configuration") or []
    return {
        row["name"]: Parameter(row["name"], int(row.get("type", 0)), row.get("defaultvalue"), row)
        for row in rows
    }
