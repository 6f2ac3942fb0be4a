"""The form of an instance's settings: what the page draws, and what it sends back."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ..descriptor import (
    BOOLEAN,
    CREDENTIALS,
    MULTI_SELECT,
    SINGLE_SELECT,
    Descriptor,
    DescriptorError,
    Parameter,
    value_of,
)
from .masking import SECRET_TYPES

KINDS = {
    4: "secret",
    8: "checkbox",
    9: "credentials",
    12: "textarea",
    13: "incidentType",
    14: "secret",
    15: "select",
    16: "multiselect",
}
MAX_CHARACTERS = 1_000_000  # of a value
# As in docs/install.md: the product, the URL for senders, and what the URL cannot show.
PRODUCT_URLS = (
    ("XSOAR 6", "https://<server>/instance/execute/<instance>", ""),
    ("XSOAR 8 Cloud", "https://ext-<tenant>/xsoar/instance/execute/<instance>", ""),
    (
        "XSIAM",
        "https://ext-<tenant>/xsoar/instance/execute/<instance>",
        "with crtx instead of xdr in the host",
    ),
    (
        "XSOAR 8 On-prem",
        "https://ext-<host>/xsoar/instance/execute/<instance>",
        "with a DNS record for ext-<host>",
    ),
    ("engine of any product", "https://<engine>:<port>/", "with the Listen Port"),
)


def fields(descriptor: Descriptor, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the form's fields in the descriptor's order, without hidden ones and secrets."""
    shown = (parameter for parameter in descriptor.parameters.values() if not is_hidden(parameter))
    return [form_field(parameter, params.get(parameter.name)) for parameter in shown]


def product_urls(instance: str) -> list[dict[str, str]]:
    """Return the URL for senders in each product, with the instance's name."""
    return [
        {"product": product, "url": url.replace("<instance>", quote(instance)), "note": note}
        for product, url, note in PRODUCT_URLS
    ]


def is_open(params: Mapping[str, Any]) -> bool:
    """Return whether nothing decides who may send to an instance with these parameters."""
    own = params.get("credentials") or {}
    guards = ("more_credentials", "allowed_sources", "client_ca")
    return not any((*own.values(), *(params.get(name) for name in guards)))


def is_hidden(parameter: Parameter) -> bool:
    """Return whether a field is hidden: everywhere, or in XSOAR by a list of marketplaces."""
    hidden = parameter.row.get("hidden")
    return "xsoar" in hidden if isinstance(hidden, list) else bool(hidden)


def form_field(parameter: Parameter, value: Any) -> dict[str, Any]:
    """Return one field: its label, help and options, and its value."""
    row = parameter.row
    common = {
        "name": parameter.name,
        "display": str(row.get("display") or parameter.name),
        "type": parameter.type,
        "kind": KINDS.get(parameter.type, "text"),
        "required": bool(row.get("required")),
        "advanced": bool(row.get("advanced")),
        "section": str(row.get("section") or ""),
        "help": str(row.get("additionalinfo") or ""),
        "default": value_of(parameter, parameter.default),
        "options": [str(option) for option in row.get("options") or ()],
    }
    if parameter.type == CREDENTIALS:
        given = value if isinstance(value, Mapping) else {}
        shown = {"identifier": str(given.get("identifier") or "")}
        return {
            **common,
            "displayPassword": password_label(parameter),
            "value": shown,
            "isSet": bool(given.get("password")),
        }
    if parameter.type in SECRET_TYPES:
        return {**common, "value": None, "isSet": bool(value)}
    return {**common, "value": value, "isSet": bool(value)}


def merged(descriptor: Descriptor, params: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """Return an instance's parameters with those that a form gives.

    A secret that is left out or null stays as it is. Raises DescriptorError with a sentence to
    show.
    """
    if not isinstance(given, Mapping):
        raise DescriptorError('Send {"params": {...}} with values by parameter name.')
    values = dict(params)
    for name, value in given.items():
        parameter = descriptor.parameters.get(name)
        if parameter is not None:
            values[name] = form_value(parameter, value, params.get(name))
        else:
            values[name] = value  # the descriptor refuses it, unless it accepts any name
    merged_values = descriptor.params(values, files=False)
    for parameter in descriptor.parameters.values():
        if (
            parameter.row.get("required")
            and not is_hidden(parameter)
            and merged_values.get(parameter.name) in ("", None, [])
        ):
            raise DescriptorError(f"{label(parameter)}: it is required; fill it in.")
    return merged_values


def form_value(parameter: Parameter, value: Any, current: Any) -> Any:
    """Return a parameter's value for the descriptor; raises DescriptorError."""
    if parameter.type == CREDENTIALS:
        return credentials(parameter, value, current if isinstance(current, Mapping) else {})
    if parameter.type in SECRET_TYPES and value is None:
        return current
    if parameter.type == BOOLEAN:
        if not isinstance(value, (bool, str, type(None))):
            raise DescriptorError(
                f"{label(parameter)}: it is a checkbox; give true or false, not {value!r}."
            )
        return value
    if parameter.type == MULTI_SELECT and isinstance(value, list):
        return [checked_option(parameter, option) for option in value]
    text = checked_text(label(parameter), value)
    return checked_option(parameter, text) if parameter.type == SINGLE_SELECT and text else text


def credentials(parameter: Parameter, value: Any, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return user name and password; the password stays as it is if none is given."""
    if not isinstance(value, Mapping):
        raise DescriptorError(
            f"{label(parameter)}: give an identifier and, to change it, a password."
        )
    identifier = checked_text(label(parameter), value.get("identifier"))
    password = value.get("password")
    name = password_label(parameter)
    kept = current.get("password") if password is None else checked_text(name, password)
    return {"identifier": identifier, "password": kept or "", "passwordChanged": False}


def checked_text(name: str, value: Any) -> str:
    """Return a text; raises DescriptorError for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        raise DescriptorError(f"{name}: give a text of at most {MAX_CHARACTERS} characters.")
    return value


def checked_option(parameter: Parameter, value: Any) -> str:
    """Return one of a parameter's options; raises DescriptorError."""
    options = [str(option) for option in parameter.row.get("options") or ()]
    if options and value not in options:
        raise DescriptorError(f"{label(parameter)}: choose one of {', '.join(options)}.")
    return checked_text(label(parameter), value)


def label(parameter: Parameter) -> str:
    """Return the name that people see."""
    return str(parameter.row.get("display") or parameter.name)


def password_label(parameter: Parameter) -> str:
    """Return the name that people see of a password next to its user name."""
    return str(parameter.row.get("displaypassword") or "Password")
