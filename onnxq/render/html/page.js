"use strict";

// Tables sort by a click on a heading, tables and cards filter; without this they only stand there.

const value = (cell) => cell.dataset.value ?? cell.textContent.trim();

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [a, b].map((text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text)));
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
}

function reorder(parent, items, key, direction) {
  const missing = (item) => key(item) === "";
  items.sort((a, b) => (missing(a) || missing(b) ? 1 : direction) * compare(key(a), key(b)));
  parent.append(...items);
}

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      reorder(body, [...body.rows], (row) => value(row.cells[column]), up ? 1 : -1);
    });
  });
}

function filtered(form) {
  const target = document.getElementById(form.dataset.for);
  const parent = target.tBodies ? target.tBodies[0] : target;
  const items = [...parent.children];
  const controls = [...form.querySelectorAll("[data-filter]")];
  const texts = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));
  for (const select of controls.filter((control) => control.localName === "select")) {
    const found = new Set(items.map((item) => item.dataset[select.dataset.filter]));
    [...found].sort().forEach((text) => select.add(new Option(text)));
  }
  const fits = (item) => controls.every(({ value: wanted, dataset: { filter } }) =>
    filter === "text" ? texts.get(item).includes(wanted.toLowerCase()) : !wanted || item.dataset[filter] === wanted);
  const apply = () => {
    const shown = items.filter((item) => !item.toggleAttribute("data-out", !fits(item)));
    form.querySelector("output").value = `${shown.length} of ${items.length}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  const order = form.querySelector("[data-order]");
  order?.addEventListener("change", () => reorder(parent, [...items], (item) => item.dataset[order.value], 1));
  form.hidden = false;
  apply();
}

function tips() {
  const tip = document.getElementById("tip");
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.("path[aria-label]");
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.getAttribute("aria-label");
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${event.clientY + 14}px`;
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("form.filters").forEach(filtered);
tips();
