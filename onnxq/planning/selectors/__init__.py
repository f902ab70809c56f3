"""Selectors decide where a rule applies; each predicate is one class, registered by its key.

A predicate looks at one node and yields every way it can match there: a binding of the names that
the rule may use as ports. No binding means no match; with several, the rule is ambiguous.
"""

from onnxq.planning.selectors import attended as attended
from onnxq.planning.selectors import basic as basic
from onnxq.planning.selectors import computed as computed
from onnxq.planning.selectors import moved as moved
from onnxq.planning.selectors import pattern as pattern
from onnxq.planning.selectors import residual as residual
from onnxq.planning.selectors import topology as topology
from onnxq.planning.selectors.base import PREDICATES as PREDICATES
from onnxq.planning.selectors.base import Binding as Binding
from onnxq.planning.selectors.base import Bound as Bound
from onnxq.planning.selectors.base import InvalidMatchError as InvalidMatchError
from onnxq.planning.selectors.base import Matched as Matched
from onnxq.planning.selectors.base import Miss as Miss
from onnxq.planning.selectors.base import Predicate as Predicate
from onnxq.planning.selectors.base import Search as Search
from onnxq.planning.selectors.base import Selector as Selector
from onnxq.planning.selectors.base import compile_match as compile_match
