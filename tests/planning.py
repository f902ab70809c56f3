"""Short ways to plan a graph by rules that stand in the test."""

import textwrap

from onnxq.planning import cascade, recipe

HEAD = """\
schema: 1
descriptors:
  act: {method: max}
  other: {method: percentile}
  weight: {granularity: per_channel, calibrator: max}
  flat: {calibrator: max}
rules:
"""


def rule(match, *, id="r", **actions):
    """One rule as YAML; `match` and the actions are written as in a rule file."""
    lines = [f"- id: {id}", "  why: test", f"  match: {match}"]
    lines += [f"  {action}: {value}" for action, value in actions.items()]
    return "\n".join(lines)


def recipe_of(folder, *rules, name="r.yaml", head=HEAD):
    """Load a recipe of rules, through a file."""
    path = folder / name
    path.write_text(head + textwrap.indent("\n".join(rules), "  ") + "\n")
    return recipe.load(path)


def planned(folder, graph, *rules):
    """The plan of a graph by some rules."""
    return cascade.plan(graph, recipe_of(folder, *rules))


def decided(plan):
    """What was decided, by tensor and node: the method, or None for float."""
    return {
        (d.tensor, d.edge.node): None if d.descriptor is None else d.descriptor.method
        for d in plan.decisions
    }


def codes(plan):
    return [d.code for d in plan.diagnostics]
