"""Plugin libraries in the process that builds or runs an engine, and the ops that it then knows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_ADDERS: Final = ("add_plugin_v3", "add_plugin_v2")  # methods of a network that can have plugins


def load(trt: Any, logger: Any, paths: Iterable[str]) -> dict[str, str]:
    """Load libraries of plugins; return by path why one has none, for those that have none."""
    trt.init_libnvinfer_plugins(logger, "")  # TensorRT's own
    problems = {path: _load(trt, path) for path in paths}
    return {path: why for path, why in problems.items() if why}


def _load(trt: Any, path: str) -> str:
    """Load one: creators register themselves when it is loaded, or it exports a list of them."""
    before, file = creators(trt), str(Path(path).absolute())
    try:
        ctypes.CDLL(file, mode=ctypes.RTLD_GLOBAL)
    except OSError as reason:
        return str(reason).replace(f"{file}: ", "")
    if creators(trt) == before:
        trt.get_plugin_registry().load_library(file)
    if creators(trt) == before:
        return "it registers no plugin, and exports none with getCreators"
    return ""


def creators(trt: Any) -> set[tuple[str, str, str]]:
    """Name, version and namespace of every plugin that is registered."""
    registry = trt.get_plugin_registry()
    known = getattr(registry, "all_creators", None) or registry.plugin_creator_list
    return {(c.name, c.plugin_version, c.plugin_namespace) for c in known}


def unknown(trt: Any, logger: Any, ops: Iterable[str]) -> list[str]:
    """Those of some ops that the compiler neither imports nor has a plugin for."""
    wanted = list(ops)
    if not wanted:
        return []
    network = trt.Builder(logger).create_network()
    parser = trt.OnnxParser(network, logger)
    plugins = {name for name, _, _ in creators(trt)} if takes_plugins(trt) else set()
    return [op for op in wanted if op not in plugins and not parser.supports_operator(op)]


def takes_plugins(trt: Any) -> bool:
    """True when networks can have plugins. Those of TensorRT-RTX 1.7 cannot: its parser aborts."""
    return any(hasattr(trt.INetworkDefinition, adder) for adder in _ADDERS)
