"""Options as users write them, checked against what a class or a schema declares; each fault with its key path."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic

from mszoo.errors import OptionsError, suggest

__all__ = ["described", "explained", "options_model", "validate"]

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
    extra: Literal["allow", "forbid"] = "forbid"
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            extra = "allow"
        elif p.kind is not p.VAR_POSITIONAL and p.name not in fixed:
            default = ... if p.default is p.empty else p.default
            fields[p.name] = (hints.get(p.name, Any), default)
    config = pydantic.ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=())
    return pydantic.create_model(cls.__name__, __config__=config, **fields)


def described(cls: type) -> dict[str, str]:
    """What each option means, from the sections ``Args`` or ``Attributes`` of the docstrings of a class and those that
    it inherits from, as one line of text each.

    Example:
        >>> from mszoo.heads import PredictiveEnergy
        >>> described(PredictiveEnergy)["width"]
        'channels of the network that predicts.'
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        names: list[str] = []
        inside = False
        for line in inspect.cleandoc(vars(base).get("__doc__") or "").splitlines():
            start = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
            if line and not line.startswith(" "):
                inside = line in ("Args:", "Attributes:")
            elif inside and start:
                names = start[1].split(", ")
                found.update(dict.fromkeys(names, start[2]))
            elif inside and line:
                found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return {name: re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`|``", r"\1", text) for name, text in found.items()}


def explained(model: type[pydantic.BaseModel], meanings: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every key of a model: its name, type, whether it is required, its default and what it means.

    Args:
        model: such as that of :func:`options_model`.
        meanings: of the keys, as :func:`described` finds them.

    Example:
        >>> from mszoo.samplers import Heun
        >>> rho = explained(options_model(Heun, 0, ()), described(Heun))[1]
        >>> rho["name"], rho["type"], rho["default"]
        ('rho', 'float (gt=0)', 10.0)
    """
    return [
        {
            "name": name,
            "type": _type(field),
            "required": field.is_required(),
            "default": None if field.is_required() else field.default,
            "meaning": meanings.get(name, ""),
        }
        for name, field in model.model_fields.items()
    ]


def _type(field: Any) -> str:
    """An annotation as one would write it, and its bounds."""
    name = _written(field.annotation)
    bounds = [re.sub(r"^(\w+)\((.*)\)$", r"\2", str(bound)) for bound in field.metadata]
    return f"{name} ({', '.join(bounds)})" if bounds else name


def _written(annotation: Any) -> str:
    """A type without the constraints inside it and without the modules of its names."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _written(inner[0])
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_written, inner))
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, inner))
    if annotation is Ellipsis:
        return "..."
    name = "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(_written, inner))}]" if inner else name


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
    return [m for a in get_args(annotation) for m in _models_in(a)]
