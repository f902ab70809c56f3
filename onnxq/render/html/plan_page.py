"""A plan as one HTML page: the network with its pairs and rules, and every decision."""

from __future__ import annotations

from onnxq.planning.coverage import by_rule, coverage
from onnxq.planning.plan import Plan
from onnxq.render.html.template import rendered, require
from onnxq.render.network import drawing, network, placements


def plan_page(plan: Plan, name: str = "") -> str:
    """The page of a plan, for a model of that name; OQ670 if a package is not installed."""
    require()
    net = network(plan.graph)
    return rendered(
        "plan.html.jinja",
        scripts=("page.js", "network.js"),
        styles=("page.css", "network.css"),
        plan=plan,
        name=name,
        counts=coverage(plan),
        rules=by_rule(plan),
        drawing=None if net.why_not_drawn else drawing(net, placements(net, plan)),
        why_not_drawn=net.why_not_drawn,
    )
