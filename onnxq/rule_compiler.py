"""Rules made ready to be matched: selectors compiled, descriptors resolved, ports checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, did_you_mean
from onnxq.rule_file import PORT, DescriptorSpec, Ports, RecipeSpec, RuleSpec
from onnxq.selectors import InvalidMatchError, Selector, compile_match
from onnxq.yaml_source import Path_, Source

Descriptors = Mapping[str, QuantDescriptor]


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
    required: bool
    own: bool


def merged_descriptors(files: Iterable[tuple[Source, RecipeSpec]]) -> dict[str, QuantDescriptor]:
    """Descriptors of all files by name; a later file's replaces, and may extend, an earlier's.

    Raises OnnxqError with every OQ104 and OQ106 of the first file that has any.
    """
    known: dict[str, QuantDescriptor] = {}
    for source, spec in files:
        found: list[Diagnostic] = []
        for name, descriptor in spec.descriptors.items():
            path = ("descriptors", name)
            if (made := _resolved(source, path, descriptor, known, found)) is not None:
                known[name] = made
        if found:
            raise OnnxqError(*found)
    return known


def _resolved(
    source: Source,
    path: Path_,
    spec: DescriptorSpec,
    known: Descriptors,
    found: list[Diagnostic],
) -> QuantDescriptor | None:
    try:
        return spec.resolve(known)
    except KeyError:
        extended = str(spec.extends)
        code, message, fix = (
            "OQ106",
            f"no descriptor '{extended}' above",
            did_you_mean(extended, known),
        )
        path = (*path, "extends")
    except ValueError as reason:
        code, message, fix = "OQ104", str(reason), "correct the descriptor"
    found.append(Diagnostic(code=code, message=message, fix=fix, span=source.span(path)))
    return None


def compiled_rules(
    source: Source, spec: RecipeSpec, descriptors: Descriptors, *, own: bool
) -> list[Rule]:
    """Compile the rules of one file; OnnxqError with all that is wrong in them."""
    found: list[Diagnostic] = []
    rules: list[Rule] = []
    ids: set[str] = set()
    for index, rule_spec in enumerate(spec.rules):
        compiler = _Compiler(source, index, rule_spec, descriptors, found)
        if rule_spec.id in ids:
            compiler.report("OQ108", "the id is used twice", "rename one", "id")
        ids.add(rule_spec.id)
        if (rule := compiler.compile(own)) is not None:
            rules.append(rule)
    if found:
        raise OnnxqError(*found)
    return rules


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Turns one RuleSpec into a Rule, or into diagnostics in `found`."""

    source: Source
    index: int
    spec: RuleSpec
    descriptors: Descriptors
    found: list[Diagnostic] = field(default_factory=list)

    def report(self, code: str, message: str, fix: str, *path: str | int, offset: int = 0) -> None:
        """Add a diagnostic at a place in the rule, or at an offset in the text there."""
        span = self.source.span(("rules", self.index, *path))
        if offset:
            quoted = span.source[span.column - 1 : span.column] in ("'", '"')
            folded = span.source[span.column - 1 : span.column] in (">", "|")
            span = replace(span, column=span.column + (0 if folded else offset + quoted))
        message = f"rule '{self.spec.id}': {message}"
        self.found.append(Diagnostic(code=code, message=message, fix=fix, span=span))

    def compile(self, own: bool) -> Rule | None:
        """Return the rule, None when `found` got what is wrong with it."""
        before = len(self.found)
        selector = self._selector()
        quantize = tuple(self._quantize())
        skip, share = self._ports("skip"), self._ports("share_scale")
        if selector is not None:
            self._check_ports([port for port, _ in quantize], selector, "quantize")
            self._check_ports(skip, selector, "skip")
            self._check_ports(share, selector, "share_scale")
        if not (self.spec.quantize or skip or share):
            self.report("OQ104", "it does nothing", "add quantize, skip or share_scale")
        for port in {port for port, _ in quantize} & set(skip):
            self.report("OQ209", f"{port} is both quantized and skipped", "keep one", "skip")
        if selector is None or len(self.found) > before:
            return None
        return Rule(
            id=self.spec.id,
            why=self.spec.why,
            span=self.source.span(("rules", self.index)),
            selector=selector,
            quantize=quantize,
            skip=skip,
            share_scale=share,
            required=self.spec.required,
            own=own,
        )

    def _selector(self) -> Selector | None:
        try:
            return compile_match(self.spec.match)
        except InvalidMatchError as reason:
            code, fix = "OQ104", "correct the value"
            if "pattern" in reason.path:
                code, fix = "OQ105", "docs/rules.md has the syntax of patterns"
            self.report(code, str(reason), fix, "match", *reason.path, offset=reason.offset)
            return None

    def _quantize(self) -> Iterator[tuple[str, QuantDescriptor]]:
        for port, given in (self.spec.quantize or {}).items():
            if isinstance(given, DescriptorSpec):
                path = ("rules", self.index, "quantize", port)
                made = _resolved(self.source, path, given, self.descriptors, self.found)
                if made is not None:
                    yield port, made
            elif given in self.descriptors:
                yield port, self.descriptors[given]
            else:
                fix = did_you_mean(given, self.descriptors)
                self.report("OQ106", f"no descriptor '{given}'", fix, "quantize", port)

    def _ports(self, action: str) -> tuple[str, ...]:
        value: Ports | None = getattr(self.spec, action)
        return () if value is None else (value,) if isinstance(value, str) else tuple(value)

    def _check_ports(self, ports: Iterable[str], selector: Selector, action: str) -> None:
        names = selector.names()
        for port in ports:
            if not (PORT.fullmatch(port) or port in names):
                known = {"inputs", "outputs", "weights", "all", "input[0]", *names}
                self.report("OQ109", f"no port '{port}'", did_you_mean(port, known), action)
