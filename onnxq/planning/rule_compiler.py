"""Rules made ready to be matched: selectors compiled, descriptors resolved, ports checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, did_you_mean
from onnxq.model.graph import Graph
from onnxq.planning.improvers import ImproverName
from onnxq.planning.rule_file import PORT, DescriptorSpec, Ports, RecipeSpec, RuleSpec, ShareSpec
from onnxq.planning.selectors import InvalidMatchError, Matched, Selector, compile_match
from onnxq.yaml_source import Document, KeyPath

Descriptors = Mapping[str, QuantDescriptor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule ready to be matched. `own` is True for the rules of the user's own recipe.

    Rules of recipes that it extends are not `own`.
    """

    id: str
    why: str
    span: Span
    selector: Selector
    quantize: tuple[tuple[str, QuantDescriptor], ...]
    skip: tuple[str, ...]
    share_scale: tuple[str, ...] | None  # None: not in the rule; (): undoes an earlier tie
    within: float | None  # of share_scale: how far ranges may differ; None: they all share
    keep_fp32: bool | None  # None: not in the rule; False: undoes an earlier True
    prefer_half: bool | None  # as keep_fp32
    improve: tuple[ImproverName, ...] | None  # None: not in the rule; (): forbids all
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
        """False for a rule that only has `keep_fp32`, `prefer_half` or `improve`."""
        return bool(self.quantize or self.skip) or self.share_scale is not None


def merged_descriptors(files: Iterable[tuple[Document, RecipeSpec]]) -> dict[str, QuantDescriptor]:
    """Descriptors of all files by name; a later file's replaces, and may extend, an earlier's.

    Raises OnnxqError with every OQ104 and OQ106 of the first file that has any.
    """
    defined: dict[str, QuantDescriptor] = {}
    for document, spec in files:
        problems: list[Diagnostic] = []
        for name, descriptor_spec in spec.descriptors.items():
            path = ("descriptors", name)
            descriptor = _resolved(document, path, descriptor_spec, defined, problems)
            if descriptor is not None:
                defined[name] = descriptor
        if problems:
            raise OnnxqError(*problems)
    return defined


def _resolved(
    document: Document,
    path: KeyPath,
    spec: DescriptorSpec,
    defined: Descriptors,
    problems: list[Diagnostic],
) -> QuantDescriptor | None:
    """The descriptor, or None with a diagnostic added to `problems`."""
    try:
        return spec.resolve(defined)
    except KeyError:
        extended = str(spec.extends)
        code, message = "OQ106", f"no descriptor '{extended}' is defined above"
        fix = did_you_mean(extended, defined, otherwise="define it before this one")
        path = (*path, "extends")
    except ValueError as reason:
        code = "OQ104"
        message, _, fix = str(reason).partition("; ")
    problems.append(Diagnostic(code=code, message=message, fix=fix, span=document.span(path)))
    return None


def compiled_rules(
    document: Document, spec: RecipeSpec, descriptors: Descriptors, *, own: bool
) -> list[Rule]:
    """Compile the rules of one file; OnnxqError with every diagnostic of them."""
    problems: list[Diagnostic] = []
    rules: list[Rule] = []
    ids: set[str] = set()
    for index, rule_spec in enumerate(spec.rules):
        compiler = _Compiler(document, index, rule_spec, descriptors, problems)
        if rule_spec.id in ids:
            message = "the id is used twice in this recipe"
            compiler.report("OQ108", message, "give each rule its own", "id")
        ids.add(rule_spec.id)
        if (rule := compiler.compile(own)) is not None:
            rules.append(rule)
    if problems:
        raise OnnxqError(*problems)
    return rules


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Turns one RuleSpec into a Rule, or into diagnostics in `found`."""

    document: Document
    index: int
    spec: RuleSpec
    descriptors: Descriptors
    problems: list[Diagnostic]

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
        at = self.document.span(place, key=key)
        span = at if offset is None else self.document.within(place, offset)
        message = f"rule '{self.spec.id}': {message}"
        self.problems.append(Diagnostic(code=code, message=message, fix=fix, span=span))

    def compile(self, own: bool) -> Rule | None:
        """Return the rule, or None with diagnostics added to `problems`."""
        before = len(self.problems)
        selector = self._selector()
        quantize = tuple(self._quantize())
        skip = self._ports("skip")
        share = None if self.spec.share_scale is None else self._ports("share_scale")
        if selector is not None:
            for action in ("quantize", "skip", "share_scale"):
                self._check_ports(selector, action)
        others = (share, self.spec.keep_fp32, self.spec.prefer_half, self.spec.improve)
        if not (self.spec.quantize or skip) and all(action is None for action in others):
            fix = "add quantize, skip, share_scale, keep_fp32, prefer_half or improve"
            self.report("OQ104", "it does nothing", fix)
        for path, port in self._placed("skip"):
            if port in (self.spec.quantize or {}):
                message = f"'{port}' is both quantized and skipped"
                self.report("OQ209", message, "keep one of the two", *path)
        if selector is None or len(self.problems) > before:
            return None
        limited = self.spec.share_scale
        return Rule(
            id=self.spec.id,
            why=self.spec.why,
            span=self.document.span(("rules", self.index)),
            selector=selector,
            quantize=quantize,
            skip=skip,
            share_scale=share,
            within=limited.within if isinstance(limited, ShareSpec) else None,
            keep_fp32=self.spec.keep_fp32,
            prefer_half=self.spec.prefer_half,
            improve=None if self.spec.improve is None else tuple(self.spec.improve),
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
        for port, value in (self.spec.quantize or {}).items():
            if isinstance(value, DescriptorSpec):
                path = ("rules", self.index, "quantize", port)
                descriptor = _resolved(self.document, path, value, self.descriptors, self.problems)
                if descriptor is not None:
                    yield port, descriptor
            elif value in self.descriptors:
                yield port, self.descriptors[value]
            else:
                define = "define it under 'descriptors'"
                fix = did_you_mean(value, self.descriptors, otherwise=define)
                self.report("OQ106", f"no descriptor '{value}'", fix, "quantize", port)

    def _ports(self, action: str) -> tuple[str, ...]:
        return tuple(port for _, port in self._placed(action))

    def _placed(self, action: str) -> Iterator[tuple[KeyPath, str]]:
        """The ports of an action, each with its path in the rule."""
        value: dict[str, object] | Ports | ShareSpec = getattr(self.spec, action) or []
        at: KeyPath = (action,)
        if isinstance(value, ShareSpec):
            value, at = value.ports, (action, "ports")
        if isinstance(value, str):
            yield at, value
        elif isinstance(value, list):
            yield from (((*at, index), port) for index, port in enumerate(value))
        else:
            yield from (((*at, port), port) for port in value)

    def _check_ports(self, selector: Selector, action: str) -> None:
        names = selector.names()
        for path, port in self._placed(action):
            if not (PORT.fullmatch(port) or port in names):
                ports = ("inputs", "outputs", "weights", "all", "input[0]", "output[0]", *names)
                fix = did_you_mean(port, ports)
                self.report("OQ109", f"no port '{port}'", fix, *path, key=action == "quantize")
