"""An instance's parameters as text: to type into XSOAR's form, and to import here."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from ..descriptor import (
    BOOLEAN,
    CREDENTIALS,
    MULTI_SELECT,
    Descriptor,
    DescriptorError,
    Parameter,
    credentials_of,
    value_of,
)
from .form import form_value, is_hidden, label, password_label
from .masking import SECRET_TYPES

LEFT_OUT = "is set, but left out here: enter it by hand"
ENTRY = re.compile(r"([^\s:=#][^:=]*)([:=])(.*)")  # a line that begins a parameter
MAX_CHARACTERS = 1_000_000


class Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one: a certificate can then be recognized."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return a text's node."""
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


Dumper.add_representer(str, Dumper.represent_str)


# ---- out


def exported(
    descriptor: Descriptor, params: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, str]:
    """Return what differs from the defaults, without secrets: as `list`, and as `yaml`."""
    lines, documents = [], []
    for parameter in in_form_order(descriptor):
        value = params.get(parameter.name)
        if value == defaults.get(parameter.name):
            continue
        shown, secret = without_secret(parameter, value)
        if shown is not None:
            lines.append(typed(label(parameter), shown))
            whole = {"identifier": shown} if parameter.type == CREDENTIALS else shown
            documents.append(as_yaml({parameter.name: whole}))
        if secret:
            lines.append(f"# {secret} {LEFT_OUT}\n")
            documents.append(f"# {secret} {LEFT_OUT}\n")
    return {"list": "".join(lines), "yaml": "".join(documents)}


def in_form_order(descriptor: Descriptor) -> list[Parameter]:
    """Return the visible parameters by section, the advanced ones of each at its end."""
    order = {name: place for place, name in enumerate(descriptor.sections)}
    return sorted(
        (one for one in descriptor.parameters.values() if not is_hidden(one)),
        key=lambda one: (
            order.get(str(one.row.get("section") or ""), len(order)),
            bool(one.row.get("advanced")),
        ),
    )


def without_secret(parameter: Parameter, value: Any) -> tuple[Any, str]:
    """Return what of a value may be shown, None for nothing, and the label of what may not."""
    if parameter.type == CREDENTIALS:
        name = password_label(parameter) if value.get("password") else ""
        return value.get("identifier") or None, name
    if parameter.type in SECRET_TYPES:
        return None, label(parameter)
    return value, ""


def typed(name: str, value: Any) -> str:
    """Return a value as somebody types it into the form, several lines below their label."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = ", ".join(value) if isinstance(value, list) else str(value)
    if "\n" not in text:
        return f"{name}: {text}".rstrip() + "\n"
    return f"{name}:\n" + "".join(f"  {line}\n" for line in text.splitlines())


def as_yaml(value: Mapping[str, Any]) -> str:
    """Return YAML whose texts stay on their lines."""
    return str(yaml.dump(value, Dumper=Dumper, allow_unicode=True, width=MAX_CHARACTERS))


# ---- in


def imported(descriptor: Descriptor, params: Mapping[str, Any], text: Any) -> dict[str, Any]:
    """Return a form's values from YAML, or from lines of names or labels and values.

    Raises DescriptorError with a sentence for each problem.
    """
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise DescriptorError(f"Give a text of at most {MAX_CHARACTERS} characters.")
    labels = fields_of(descriptor)
    given = from_list(labels, text) if is_list(labels, text) else from_yaml(text)
    values, problems = {}, []
    for name, value in given.items():
        parameter = descriptor.parameters.get(name)
        try:
            if parameter is None:
                raise DescriptorError(f"There is no parameter {name[:100]!r}.")
            values[name] = checked(parameter, value, params.get(name))
        except DescriptorError as error:
            problems.append(str(error))
    if problems or not values:
        raise DescriptorError("\n".join(problems) or "The text names no parameter.")
    return values


def checked(parameter: Parameter, value: Any, current: Any) -> Any:
    """Return a value that the form could have; raises DescriptorError."""
    if parameter.type == CREDENTIALS:
        if isinstance(value, str):
            value = {name: part for name, part in credentials_of(value).items() if part}
        if isinstance(value, Mapping):
            value = {"identifier": (current or {}).get("identifier"), **value}
    elif parameter.type == MULTI_SELECT and isinstance(value, str):
        value = value_of(parameter, value, files=False)
    elif parameter.type != MULTI_SELECT and not isinstance(value, str):
        raise DescriptorError(f"{label(parameter)}: give a text.")
    found = form_value(parameter, value, current)
    return value_of(parameter, found, files=False) if parameter.type == BOOLEAN else found


def from_yaml(text: str) -> dict[str, Any]:
    """Return a YAML mapping by name, with every scalar as the text that it is."""
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader)  # it makes texts only
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise DescriptorError(
            f"The text is not YAML: {getattr(error, 'problem', error)}{place}."
        ) from None
    if not isinstance(found, dict):
        raise DescriptorError("Give a line for each parameter: its name, a colon and the value.")
    return found


def fields_of(descriptor: Descriptor) -> dict[str, tuple[str, str]]:
    """Return the parameter of each label, and the part of it that the label stands for."""
    found = {}
    for parameter in in_form_order(descriptor):
        is_pair = parameter.type == CREDENTIALS
        found[label(parameter)] = parameter.name, "identifier" if is_pair else ""
        if is_pair:
            found[password_label(parameter)] = parameter.name, "password"
    return found


def is_list(labels: Mapping[str, Any], text: str) -> bool:
    """Return whether a text has lines of `label: value` or `name=value`, which YAML has not."""
    found = (ENTRY.match(line) for line in text.splitlines())
    return any(one and (one[2] == "=" or one[1].strip() in labels) for one in found)


def from_list(labels: Mapping[str, tuple[str, str]], text: str) -> dict[str, Any]:
    """Return the values of a list by the parameters' names."""
    given: dict[str, Any] = {}
    for shown, value in entries(text):
        name, part = labels.get(shown, (shown, ""))
        if part:
            given[name] = {**given.get(name, {}), part: value}
        else:
            given[name] = value
    return given


def entries(text: str) -> list[tuple[str, str]]:
    """Return each name of a list with its value, which indented lines continue."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if found and line[:1].isspace():
            found[-1][1].append(line.strip())
        elif line.strip() and not line.startswith("#"):
            entry = ENTRY.match(line)
            if not entry:
                raise DescriptorError(f"{line[:100]!r} is not a name, a colon and a value.")
            found.append((entry[1].strip(), [entry[3].strip()]))
    return [(name, "\n".join(lines).strip()) for name, lines in found]
