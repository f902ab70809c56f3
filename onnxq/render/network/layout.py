"""Where the boxes and lines of a network stand: layers from top to bottom, with few crossings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Place = tuple[float, float]  # columns from the left, layers from the top
Line = tuple[int, int]  # numbers of two boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`places` of the boxes; `routes` are the places that each line passes, with both ends.

    Places are in columns and layers; the left-most column and the top layer are 0.
    """

    places: tuple[Place, ...]
    routes: dict[Line, tuple[Place, ...]]

    @property
    def columns(self) -> float:
        """The right-most column that is used."""
        return max((x for route in self._all() for x, _ in route), default=0)

    @property
    def layers(self) -> float:
        """The lowest layer that is used."""
        return max((y for route in self._all() for _, y in route), default=0)

    def _all(self) -> Iterable[tuple[Place, ...]]:
        return (self.places, *self.routes.values())


def layout(count: int, lines: Sequence[Line]) -> Layout:
    """Places for `count` boxes with these lines, parts without a line between them side by side.

    The layers are those of Gansner et al., "A technique for drawing directed graphs" (1993), the
    columns those of Brandes and Koepf, "Fast and simple horizontal coordinate assignment" (2002),
    both by the package fast-sugiyama.
    """
    import fast_sugiyama

    left, places, routes = 0.0, dict[int, Place](), dict[Line, tuple[Place, ...]]()
    for positions, _, _, segments in fast_sugiyama.from_edges(
        dict.fromkeys(lines), minimum_length=1, vertex_spacing=1, dummy_vertices=True
    ):
        begin = min(x for _, (x, _) in positions)
        top = max(y for _, (_, y) in positions)
        part = {int(box): (x - begin + left, top - y) for box, (x, y) in positions}
        routes |= _routes(part, ((int(a), int(b)) for a, b in segments or ()), count)
        places |= {box: place for box, place in part.items() if box < count}
        left = max(x for x, _ in part.values()) + 1
    for box in range(count):
        if box not in places:
            places[box] = (left, 0.0)
            left += 1
    return Layout(places=tuple(places[box] for box in range(count)), routes=routes)


def _routes(
    part: dict[int, Place], segments: Iterable[tuple[int, int]], count: int
) -> dict[Line, tuple[Place, ...]]:
    """The lines of a part: a long one is a chain of boxes that are not drawn, from `count` on."""
    following: dict[int, list[int]] = {}
    for begin, end in segments:
        following.setdefault(begin, []).append(end)
    routes = {}
    for begin in (box for box in following if box < count):
        for step in following[begin]:
            chain = [begin, step]
            while chain[-1] >= count:
                chain.append(following[chain[-1]][0])
            routes[begin, chain[-1]] = tuple(part[box] for box in chain)
    return routes
