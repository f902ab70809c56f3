"""Options that belong together: declared once as a dataclass, one parameter of a verb."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

from onnxq.cli.stdout import reader_may_go

Verb = Callable[..., None]


def grouped(verb: Verb) -> Verb:
    """The verb as Typer reads it: every field of a parameter that is a dataclass is an option.

    A group that is a context manager is entered around the verb.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = [
        option
        for parameter in inspect.signature(verb).parameters.values()
        for option in _options(parameter, hints[parameter.name])
    ]

    @wraps(verb)
    def command(**given: Any) -> None:
        with reader_may_go(), ExitStack() as entered:
            for name, kind in groups.items():
                group = kind(**{f.name: given.pop(f.name) for f in fields(kind) if f.init})
                if isinstance(group, AbstractContextManager):
                    entered.enter_context(group)
                given[name] = group
            verb(**given)

    signature = inspect.Signature(parameters)  # refuses a name that two groups have
    del vars(command)["__wrapped__"]  # else its type hints are read instead
    vars(command)["__signature__"] = signature
    command.__annotations__ = {option.name: option.annotation for option in parameters}
    return command


def _options(parameter: inspect.Parameter, kind: Any) -> Iterator[inspect.Parameter]:
    if not is_dataclass(kind):
        yield parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        if field.init:
            default = parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=hints[field.name],
            )
