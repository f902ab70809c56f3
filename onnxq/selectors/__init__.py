"""Selectors decide where a rule applies; each predicate is one class, registered by its key.

A predicate looks at one node and yields every way it can match there: a binding of the names that
the rule may use as ports. None means no match, more than one that the rule is ambiguous.
"""

from onnxq.selectors import basic as basic
from onnxq.selectors import pattern as pattern
from onnxq.selectors import topology as topology
from onnxq.selectors.base import PREDICATES as PREDICATES
from onnxq.selectors.base import Binding as Binding
from onnxq.selectors.base import Bound as Bound
from onnxq.selectors.base import InvalidMatchError as InvalidMatchError
from onnxq.selectors.base import Miss as Miss
from onnxq.selectors.base import Predicate as Predicate
from onnxq.selectors.base import Selector as Selector
from onnxq.selectors.base import TooManyWaysError as TooManyWaysError
from onnxq.selectors.base import compile_match as compile_match
