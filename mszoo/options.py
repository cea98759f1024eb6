"""Options as users write them, checked against what a class or a schema declares; each fault with its key path."""

from __future__ import annotations

import inspect
import re
import typing
from functools import lru_cache
from typing import Any

import pydantic

from mszoo.errors import OptionsError, suggest

__all__ = ["described", "options_model", "validate"]

_Schema = typing.TypeVar("_Schema", bound=pydantic.BaseModel)
_MOST_FAULTS = 100  # that are reported at once


def validate(model: type[_Schema], values: Any, owner: str) -> _Schema:
    """``model.model_validate(values)``, its faults turned into one :class:`OptionsError`.

    Args:
        model: the pydantic model.
        values: what a user wrote.
        owner: whose options they are, for the message.
    """
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        faults = error.errors()[:_MOST_FAULTS]
        raise OptionsError(owner, [(_path(e), _explain(e, model, owner)) for e in faults]) from None


@lru_cache(maxsize=256)
def options_model(cls: type, supplied: int, fixed: tuple[str, ...]) -> type[pydantic.BaseModel]:
    """A pydantic model of the keyword options in a constructor's signature.

    Args:
        cls: the class.
        supplied: how many leading parameters are no options: the caller supplies them.
        fixed: names of options that are not the user's to give.
    """
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)  # with Annotated's constraints
    except Exception:  # an annotation that exists for type checkers only
        hints = {}
    parameters = list(inspect.signature(cls).parameters.values())[supplied:]
    fields: dict[str, Any] = {}
    extra: typing.Literal["allow", "forbid"] = "forbid"
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            extra = "allow"
        elif p.kind is not p.VAR_POSITIONAL and p.name not in fixed:
            default = ... if p.default is p.empty else p.default
            fields[p.name] = (hints.get(p.name, Any), default)
    config = pydantic.ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=())
    return pydantic.create_model(cls.__name__, __config__=config, **fields)


def described(cls: type) -> dict[str, str]:
    """What each option means, from the section ``Args`` of a class's docstring, as one line of text each.

    Example:
        >>> from mszoo.heads import PredictiveEnergy
        >>> described(PredictiveEnergy)["width"]
        'channels of the network that predicts.'
    """
    _, _, section = (inspect.getdoc(cls) or "").partition("Args:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break
        text = line.strip()
        start = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if start:
            names = start[1].split(", ")
            found.update(dict.fromkeys(names, start[2]))
        elif text:
            found.update({name: f"{found[name]} {text}" for name in names})
    return {name: re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`|``", r"\1", text) for name, text in found.items()}


def _path(error: Any) -> tuple[str | int, ...]:
    # pydantic names the branches of a union in the location; a user knows only the keys. What is unknown is a key.
    location = error["loc"]
    keys = len(location) - 1 if error["type"] == "extra_forbidden" else len(location)
    branch = re.compile(r"[\[\]()]|-|^(str|int|float)$")
    return (*(p for p in location[:keys] if isinstance(p, int) or not branch.search(p)), *location[keys:])


def _explain(error: Any, model: type[pydantic.BaseModel], owner: str) -> str:
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"][:-1])
        where = f"of {owner}" if len(error["loc"]) == 1 else "here"
        options = f"; the keys {where} are {', '.join(known)}" if known else "; it takes no options"
        return f"unknown key{suggest(str(error['loc'][-1]), known) or options}"
    if error["type"] == "missing":
        return "is required"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = error.get("input")
    plain = isinstance(value, (str, int, float, bool, type(None)))
    return f"{message}, got {value!r}" if plain and error["type"] != "value_error" else message


def _fields_at(model: Any, location: tuple[str | int, ...]) -> list[str]:
    """The keys of the (sub)model that a location points into."""
    for step in location:
        for found in _models_in(model):
            if isinstance(step, str) and step in found.model_fields:
                model = found.model_fields[step].annotation
                break
    return [name for m in _models_in(model) for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in _models_in(a)]
