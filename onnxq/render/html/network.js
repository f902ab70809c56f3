"use strict";

// The picture of a network: find, choose, walk, zoom; without this it only stands there.

function network(section) {
  const { boxes, wires, reasons } = JSON.parse(document.getElementById("graph-data").textContent);
  const view = section.querySelector(".graph-view"), svg = view.querySelector("svg");
  const shapes = [...svg.querySelectorAll("g.box")], lines = [...svg.querySelectorAll(".wires path")];
  const facts = section.querySelector(".graph-facts"), tools = section.querySelector(".graph-tools");
  const [find, said, overlay] = ["input", "output", "select"].map((tag) => tools.querySelector(tag));
  const texts = boxes.map((box) => JSON.stringify([box.name, box.op, box.outputs, box.inputs]).toLowerCase());
  let chosen = null, hits = [];

  const size = { width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height };
  let zoom = 1;

  function resize(wanted, x = view.clientWidth / 2, y = view.clientHeight / 2) {
    const before = zoom;
    zoom = Math.min(Math.max(wanted, 0.04), 3);
    svg.setAttribute("width", size.width * zoom);
    svg.setAttribute("height", size.height * zoom);
    const grown = zoom / before;
    view.scrollTo({ left: (view.scrollLeft + x) * grown - x, top: (view.scrollTop + y) * grown - y, behavior: "instant" });
  }

  const fit = () => (view.clientWidth - 4) / size.width;

  const places = shapes.map((shape) => /\((\S+) (\S+)\)/.exec(shape.getAttribute("transform")).slice(1).map(Number));

  function center(number) {
    const [x, y] = places[number];
    view.scrollTo({ left: x * zoom - view.clientWidth / 2, top: y * zoom - view.clientHeight / 2, behavior: "instant" });
  }

  function element(tag, text, name) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  }

  function describe(box) {
    const parts = [element("h3", box.op), element("p", box.name, "mono")];
    if (box.type !== "port" && box.type !== "rest") parts.push(element("p", box.type, `type ${box.type}`));
    if (overlay) {
      [...overlay.options].slice(1).forEach((option, index) => {
        if (box.figures[index]) parts.push(element("p", `${option.text}: ${box.figures[index][1]}`));
      });
    }
    for (const [slot, tensor, descriptor, group, rule, place, reason, lost] of box.inputs) {
      const list = element("dl", "", "site");
      list.append(element("dt", `input ${slot}: ${descriptor}${group ? `, scale shared (${group})` : ""}`));
      list.append(element("dd", tensor, "mono"), element("dd", rule ? `${rule} (${place}): ${reasons[reason]}` : reasons[reason]));
      if (lost.length) list.append(element("dd", `overrides ${lost.join(", ")}`));
      parts.push(list);
    }
    for (const [tensor, shape] of box.outputs) parts.push(element("p", `gives ${tensor} ${shape}`, "mono"));
    return parts;
  }

  function choose(number, show = true) {
    shapes[chosen]?.classList.remove("chosen");
    chosen = number;
    const near = (index) => wires[index].includes(number);
    lines.forEach((line, index) => line.classList.toggle("near", number !== null && near(index)));
    if (number === null) return facts.replaceChildren(element("p", "No box is chosen."));
    shapes[number].classList.add("chosen");
    facts.replaceChildren(...describe(boxes[number]));
    if (show) center(number);
    history.replaceState(null, "", `#node=${encodeURIComponent(boxes[number].name)}`);
  }

  function mark() {
    const wanted = find.value.trim().toLowerCase();
    const types = [...section.querySelectorAll("[data-type][aria-pressed=true]")].map((key) => key.dataset.type);
    const fits = (box, index) => (!wanted || texts[index].includes(wanted)) && (!types.length || types.includes(box.type));
    const all = !wanted && !types.length;
    hits = all ? [] : [...boxes.keys()].filter((index) => fits(boxes[index], index));
    const kept = new Set(hits);
    shapes.forEach((shape, index) => shape.classList.toggle("faint", !all && !kept.has(index)));
    said.value = all ? "" : `${hits.length} of ${boxes.length}`;
  }

  function next(step) {
    if (!hits.length) return;
    const at = hits.indexOf(chosen);
    choose(hits[at < 0 ? 0 : (at + step + hits.length) % hits.length]);
    said.value = `${hits.indexOf(chosen) + 1} of ${hits.length}`;
  }

  function walk(key) {
    if (chosen === null) return choose(0);
    const down = key === "ArrowDown", up = key === "ArrowUp";
    const near = wires.filter((wire) => wire[down ? 0 : 1] === chosen).map((wire) => wire[down ? 1 : 0]);
    if (down || up) return near.length && choose(near[0]);
    const [x, y] = places[chosen];
    const side = [...places.entries()].filter(([, [right, below]]) => below === y && (key === "ArrowRight" ? right > x : right < x));
    side.sort((a, b) => Math.abs(a[1][0] - x) - Math.abs(b[1][0] - x));
    return side.length && choose(side[0][0]);
  }

  function color() {
    const index = overlay?.value;
    shapes.forEach((shape, number) => {
      const figure = index && boxes[number].figures[Number(index)];
      const share = figure ? Math.round(100 * figure[0]) : 0;
      shape.querySelector("rect").style.fill = !index ? "" : figure ? `color-mix(in oklab, var(--bad) ${share}%, var(--good-fill))` : "var(--card)";
    });
  }

  shapes.forEach((shape, number) => shape.addEventListener("click", () => choose(number, false)));
  view.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow") && (chosen !== null || event.key === "ArrowDown")) {
      event.preventDefault();
      walk(event.key);
    } else if (event.key === "Escape") choose(null);
    else if (event.key === "+" || event.key === "-") resize(zoom * (event.key === "+" ? 1.25 : 0.8));
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const edge = view.getBoundingClientRect();
    resize(zoom * Math.exp(-event.deltaY / 400), event.clientX - edge.left, event.clientY - edge.top);
  }, { passive: false });
  let held = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) held = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
  });
  addEventListener("pointermove", (event) => {
    if (held) view.scrollTo({ left: held[0] - event.clientX, top: held[1] - event.clientY, behavior: "instant" });
  });
  addEventListener("pointerup", () => { held = null; });
  find.addEventListener("input", mark);
  tools.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
  });
  overlay?.addEventListener("change", color);
  section.querySelectorAll("[data-type]").forEach((key) => key.addEventListener("click", () => {
    key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") === "false");
    mark();
  }));
  section.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
    const { zoom: wanted } = button.dataset;
    resize(wanted === "fit" ? fit() : wanted === "1" ? 1 : zoom * Number(wanted));
  }));

  tools.hidden = false;
  view.classList.add("live");
  const linked = /^#node=(.*)$/.exec(location.hash);
  const start = linked ? boxes.findIndex((box) => box.name === decodeURIComponent(linked[1])) : -1;
  if (fit() < 1) resize(Math.max(fit(), 0.75));
  if (start >= 0) choose(start);
  else center(0);
}

document.querySelectorAll("section#graph:has(.graph)").forEach(network);
