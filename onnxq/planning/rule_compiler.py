"""Rules made ready to be matched: selectors compiled, descriptors resolved, ports checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, did_you_mean
from onnxq.model.graph import Graph
from onnxq.planning.rule_file import PORT, DescriptorSpec, Ports, RecipeSpec, RuleSpec
from onnxq.planning.selectors import InvalidMatchError, Matched, Selector, compile_match
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
    share_scale: tuple[str, ...] | None  # None says nothing, () takes an earlier tie back
    keep_fp32: bool | None  # None says nothing, False takes an earlier True back
    required: bool
    own: bool

    def select(self, graph: Graph) -> list[Matched]:
        """Every node that the rule matches, in graph order, with its bindings.

        Raises OnnxqError at the rule when matching would not end (OQ105, OQ226).
        """
        try:
            return self.selector.select(graph)
        except OnnxqError as failure:
            raise OnnxqError(
                *(
                    replace(d, message=f"rule '{self.id}': {d.message}", span=self.span)
                    for d in failure.diagnostics
                )
            ) from None

    @property
    def places_pairs(self) -> bool:
        """False for a rule that says nothing but what is kept in FP32."""
        return bool(self.quantize or self.skip) or self.share_scale is not None


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
        code, message = "OQ106", f"no descriptor '{extended}' stands above"
        fix = did_you_mean(extended, known, otherwise="define it before this one")
        path = (*path, "extends")
    except ValueError as reason:
        code = "OQ104"
        message, _, fix = str(reason).partition("; ")
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
            told = "the id is used twice in this file"
            compiler.report("OQ108", told, "give each rule its own", "id")
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

    def report(
        self,
        code: str,
        message: str,
        fix: str,
        *path: str | int,
        key: bool = False,
        offset: int | None = None,
    ) -> None:
        """Add a diagnostic at a value or key of the rule, or at an offset in the text there."""
        place = ("rules", self.index, *path)
        at = self.source.span(place, key=key)
        span = at if offset is None else self.source.within(place, offset)
        message = f"rule '{self.spec.id}': {message}"
        self.found.append(Diagnostic(code=code, message=message, fix=fix, span=span))

    def compile(self, own: bool) -> Rule | None:
        """Return the rule, None when `found` got what is wrong with it."""
        before = len(self.found)
        selector = self._selector()
        quantize = tuple(self._quantize())
        skip = self._ports("skip")
        share = None if self.spec.share_scale is None else self._ports("share_scale")
        if selector is not None:
            for action in ("quantize", "skip", "share_scale"):
                self._check_ports(selector, action)
        if not (self.spec.quantize or skip) and share is None and self.spec.keep_fp32 is None:
            fix = "add quantize, skip, share_scale or keep_fp32"
            self.report("OQ104", "it does nothing", fix)
        for path, port in self._placed("skip"):
            if port in (self.spec.quantize or {}):
                told = f"'{port}' is both quantized and skipped"
                self.report("OQ209", told, "keep one of the two", *path)
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
            keep_fp32=self.spec.keep_fp32,
            required=self.spec.required,
            own=own,
        )

    def _selector(self) -> Selector | None:
        try:
            return compile_match(self.spec.match)
        except InvalidMatchError as reason:
            code = "OQ105" if "pattern" in reason.path else "OQ104"
            offset = reason.offset if code == "OQ105" or reason.offset else None
            self.report(code, str(reason), reason.fix, "match", *reason.path, offset=offset)
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
                define = "define it under 'descriptors'"
                fix = did_you_mean(given, self.descriptors, otherwise=define)
                self.report("OQ106", f"no descriptor '{given}'", fix, "quantize", port)

    def _ports(self, action: str) -> tuple[str, ...]:
        return tuple(port for _, port in self._placed(action))

    def _placed(self, action: str) -> Iterator[tuple[Path_, str]]:
        """The ports of an action, each with its path in the rule."""
        value: dict[str, object] | Ports = getattr(self.spec, action) or []
        if isinstance(value, str):
            yield (action,), value
        elif isinstance(value, list):
            yield from (((action, index), port) for index, port in enumerate(value))
        else:
            yield from (((action, port), port) for port in value)

    def _check_ports(self, selector: Selector, action: str) -> None:
        names = selector.names()
        for path, port in self._placed(action):
            if not (PORT.fullmatch(port) or port in names):
                known = ("inputs", "outputs", "weights", "all", "input[0]", "output[0]", *names)
                fix = did_you_mean(port, known)
                self.report("OQ109", f"no port '{port}'", fix, *path, key=action == "quantize")
