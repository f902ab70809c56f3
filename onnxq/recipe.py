"""Recipes: rule files found, joined with what they extend, and compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxq import shipped, yaml_source
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, did_you_mean, error
from onnxq.rule_file import PORT, Ports, RecipeSpec, RuleSpec, validated
from onnxq.selectors import PREDICATES, Predicate, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule ready to be matched. `own` is True in a file of the user's that was named."""

    id: str
    why: str
    span: Span
    selector: Selector
    quantize: tuple[tuple[str, QuantDescriptor], ...]
    skip: tuple[str, ...]
    share_scale: tuple[str, ...]
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All rules of a file and of the files that it extends, those first. Later rules win."""

    name: str
    digest: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    spec: RecipeSpec
    source: yaml_source.Source
    text_digest: str


def find(name: str, beside: Path) -> tuple[Path, str]:
    """Return the path of a recipe and the name to show: a file, else a shipped recipe (OQ101)."""
    return shipped.find(name, shipped.recipes(), what="recipe", code="OQ101", beside=beside)


def load(name: str | Path) -> Recipe:
    """Load a recipe by path or by the name of a shipped one, with all that it extends.

    Raises OnnxqError with every OQ1xx diagnostic of the first file that has any.
    """
    path, shown = find(str(name), Path())
    files = list(_with_extended(path, shown, ()))
    descriptors: dict[str, QuantDescriptor] = {}
    for file in files:
        descriptors.update(file.spec.descriptors)
    own = files[-1] if path not in shipped.recipes().values() else None
    rules = [rule for file in files for rule in _rules(file, descriptors, file is own)]
    digest = hashlib.sha256("".join(f.text_digest for f in files).encode()).hexdigest()
    return Recipe(name=path.stem, digest=digest, rules=tuple(rules))


def _with_extended(path: Path, shown: str, open_: tuple[Path, ...]) -> Iterator[_File]:
    """Yield the files that a file extends, then the file itself."""
    source = yaml_source.read(path, shown_as=shown)
    spec = validated(source)
    here = (*open_, path.resolve())
    names = [spec.extends] if isinstance(spec.extends, str) else spec.extends
    for index, name in enumerate(names):
        where = ("extends",) if isinstance(spec.extends, str) else ("extends", index)
        try:
            base, base_shown = find(name, path.parent)
        except OnnxqError as missing:
            (only,) = missing.diagnostics
            raise OnnxqError(replace(only, span=source.span(where))) from None
        if base.resolve() in here:
            raise error(
                "OQ107",
                f"'{name}' extends itself: {' -> '.join(p.name for p in (*here, base))}",
                fix="remove one 'extends'",
                span=source.span(where),
            )
        yield from _with_extended(base, base_shown, here)
    yield _File(spec=spec, source=source, text_digest=hashlib.sha256(path.read_bytes()).hexdigest())


def _rules(file: _File, descriptors: dict[str, QuantDescriptor], own: bool) -> Iterator[Rule]:
    """Compile the rules of one file, after all of its diagnostics were raised together."""
    found: list[Diagnostic] = []
    rules: list[Rule] = []
    for index, spec in enumerate(file.spec.rules):
        compiler = _RuleCompiler(file.source, index, spec, descriptors, found)
        if any(spec.id == other.id for other in file.spec.rules[:index]):
            compiler.report("OQ108", f"the id '{spec.id}' is used twice", "rename one", "id")
        if (rule := compiler.compile(own)) is not None:
            rules.append(rule)
    if found:
        raise OnnxqError(*found)
    yield from rules


@dataclass(frozen=True, slots=True)
class _RuleCompiler:
    """Turns one RuleSpec into a Rule, or into diagnostics in `found`."""

    source: yaml_source.Source
    index: int
    spec: RuleSpec
    descriptors: dict[str, QuantDescriptor]
    found: list[Diagnostic]

    def report(self, code: str, message: str, fix: str, *path: str | int, shift: int = 0) -> None:
        span = self.source.span(("rules", self.index, *path))
        span = replace(span, column=span.column + shift)
        self.found.append(
            Diagnostic(code=code, message=f"rule '{self.spec.id}': {message}", fix=fix, span=span)
        )

    def compile(self, own: bool) -> Rule | None:
        before = len(self.found)
        selector = Selector(predicates=tuple(self._predicates()))
        quantize = tuple(self._quantize())
        skip, share = self._ports("skip"), self._ports("share_scale")
        if before != len(self.found):
            return None
        for action, ports in (
            ("quantize", dict(quantize)), ("skip", skip), ("share_scale", share),
        ):  # fmt: skip
            self._check_ports(action, tuple(ports), selector.names())
        if not (quantize or skip or share):
            self.report("OQ104", "no action", "add quantize, skip or share_scale")
        return Rule(
            id=self.spec.id,
            why=self.spec.why,
            span=self.source.span(("rules", self.index)),
            selector=selector,
            quantize=quantize,
            skip=skip,
            share_scale=share,
            own=own,
        )

    def _predicates(self) -> Iterator[Predicate]:
        given: dict[str, Any] = self.spec.match.model_dump(exclude_none=True)
        if not given:
            self.report("OQ104", "an empty match", f"use {', '.join(PREDICATES)}", "match")
        for key, value in given.items():
            try:
                yield PREDICATES[key].compile(value)
            except SyntaxError as reason:
                shift = (reason.offset or 0) if isinstance(value, str) else 0
                self.report(
                    "OQ105", f"{reason.msg}", "see 'Patterns' in the rules reference",
                    "match", key, shift=shift,
                )  # fmt: skip
            except ValueError as reason:
                self.report("OQ104", str(reason), "correct the value", "match", key)

    def _quantize(self) -> Iterator[tuple[str, QuantDescriptor]]:
        for port, name in (self.spec.quantize or {}).items():
            if name in self.descriptors:
                yield port, self.descriptors[name]
            else:
                fix = did_you_mean(name, self.descriptors)
                self.report("OQ106", f"no descriptor '{name}'", fix, "quantize", port)

    def _ports(self, action: str) -> tuple[str, ...]:
        value: Ports | None = getattr(self.spec, action)
        return () if value is None else (value,) if isinstance(value, str) else tuple(value)

    def _check_ports(self, action: str, ports: tuple[str, ...], names: frozenset[str]) -> None:
        for port in ports:
            if not (PORT.fullmatch(port) or port in names):
                known = {"inputs", "outputs", "weights", "all", "input[0]", *names}
                self.report("OQ109", f"no port '{port}'", did_you_mean(port, known), action)
