"""Accumulated and local error of every pair and op, to find where in the model accuracy is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from onnx import TensorProto, helper

from onnxq.cores import cores
from onnxq.diagnostics import OnnxqError, first_line
from onnxq.sessions import numeric_outputs, open_session
from onnxq.verification.numeric.comparison import Comparison, Totals
from onnxq.verification.numeric.inner import InnerTensors, Site, SiteKind

LOW_SQNR_DB: Final = 20.0  # below this an output needs a look: the noise is a tenth of the signal
CULPRITS_SHARE: Final = 0.5  # of the sum of the local noise of all pairs or ops


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorComparison:
    """One pair or weighted op: its tensor in the Q/DQ model, compared with the float model's.

    `tensor` is the tensor's name in the float model, `kind` "pair" or "op", `node` the name of the
    QuantizeLinear or the op in the Q/DQ model, `op` the latter's type. A pair is compared behind
    its DequantizeLinear. `position` is the place along the network: the number of the float model's
    nodes up to the one that computes the tensor, 0 for a graph input.
    `accumulated` compares the two models' tensors, so it includes the error of all nodes before.
    `local` is the error of this pair or op alone, fed with the float model's tensors; it is None
    when it could not be measured, and `problem` says why.
    """

    tensor: str
    kind: SiteKind
    node: str
    op: str
    position: int
    accumulated: Comparison
    local: Comparison | None
    problem: str = ""

    @property
    def noise(self) -> float:
        """The noise that it adds, relative to the signal, from its local SQNR; 0 if unknown.

        Relative noise of independent roundings adds up along a chain of layers.
        """
        own = self.local.sqnr_db if self.local is not None else None
        return 0.0 if own is None else 10 ** (-own / 10)


def culprits(tensors: Sequence[TensorComparison]) -> tuple[str, ...]:
    """The fewest nodes whose local noise adds up to half of the total, in network order.

    These are weighted ops, each with the error of its pairs; or pairs, if no op was measured alone.
    """
    for kind in ("op", "pair"):
        noisiest = sorted((t for t in tensors if t.kind == kind), key=lambda t: -t.noise)
        total = sum(t.noise for t in noisiest)
        if total > 0:
            return _in_order(tensors, _half_of(noisiest, total))
    return ()


def _half_of(noisiest: Sequence[TensorComparison], total: float) -> set[str]:
    chosen, sofar = set(), 0.0
    for comparison in noisiest:
        if sofar >= CULPRITS_SHARE * total:
            break
        chosen.add(comparison.node)
        sofar += comparison.noise
    return chosen


def _in_order(tensors: Sequence[TensorComparison], chosen: set[str]) -> tuple[str, ...]:
    return tuple(t.node for t in tensors if t.node in chosen)


class TensorTotals:
    """Sums over the samples of every pair and op of one Q/DQ model."""

    def __init__(self, inner: InnerTensors) -> None:
        self._inner = inner
        self._accumulated = {site: Totals(site.tensor) for site in inner.sites}
        self._local = {site: Totals(site.tensor) for site in inner.sites if site.local is not None}
        self._session: Any = None
        self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="onnxq-compare")
        self._problem = ""
        try:
            if self._local:
                in_float32 = {kind for _, kind in inner.feeds.values()} <= {TensorProto.FLOAT}
                self._session = open_session(
                    inner.local_model, as_written=True, around_pairs=in_float32
                )
        except OnnxqError as failed:
            self._problem = failed.diagnostics[0].message

    def add(self, sample: str, expected: Mapping[str, Any], computed: Mapping[str, Any]) -> None:
        """Compare one sample: tensors of the float model and of the Q/DQ model, by name."""
        totals = [
            (t, expected[s.tensor], computed[s.measured]) for s, t in self._accumulated.items()
        ]
        local = self._computed_alone(expected)
        if local:
            totals += [(t, expected[s.tensor], local[s.local]) for s, t in self._local.items()]
        list(self._pool.map(lambda row: row[0].add(sample, *row[1:]), totals))

    def _computed_alone(self, expected: Mapping[str, Any]) -> Mapping[str | None, Any]:
        """The local model's tensors by name; none after a failure, which `_problem` has."""
        if self._session is None:
            return {}
        feeds = {
            name: expected[tensor].astype(helper.tensor_dtype_to_np_dtype(kind), copy=False)
            for name, (tensor, kind) in self._inner.feeds.items()
        }
        names = list(dict.fromkeys(site.local for site in self._local if site.local is not None))
        try:
            return dict(zip(names, numeric_outputs(self._session, names, feeds), strict=True))
        except Exception as failed:  # onnxruntime has an exception class for each status
            self._session, self._problem = None, first_line(failed)
            return {}

    def results(self) -> tuple[TensorComparison, ...]:
        """Every pair and op, in network order."""
        return tuple(self._result(site) for site in self._inner.sites)

    def _result(self, site: Site) -> TensorComparison:
        has_local = site in self._local and not self._problem
        return TensorComparison(
            tensor=site.tensor,
            kind=site.kind,
            node=site.node,
            op=site.op,
            position=site.position,
            accumulated=self._accumulated[site].result(),
            local=self._local[site].result() if has_local else None,
            problem=site.problem or self._problem,
        )
