"use strict";

// Sorting: within each block of rows, which stays where it is; what has no number goes last.
for (const table of document.querySelectorAll("table.scores")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(table, heading, column));
  });
}

function sort(table, heading, column) {
  const before = heading.getAttribute("aria-sort");
  const descending = before === "none" ? column > 0 : before === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("block"));
    rows.sort((a, b) => compare(a.cells[column], b.cells[column], descending));
    body.append(...rows);
  }
}

function compare(a, b, descending) {
  const [x, y] = [key(a), key(b)];
  if (x === null || y === null) return (x === null) - (y === null);
  const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
  return descending ? -order : order;
}

function key(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  return /^-?[\d.]+$/.test(text) ? Number(text) : text;
}

// The filter shows the rows that have all of its words in their names, in every table and in the list of runs.
const filter = document.getElementById("filter");
filter.parentElement.hidden = false;
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const named = [...document.querySelectorAll("table.scores tbody tr:not(.block)"), ...document.querySelectorAll("details.row")];
  let shown = 0;
  for (const row of named) {
    const name = row.querySelector("th[scope=row], summary").textContent.toLowerCase();
    row.hidden = !words.every((word) => name.includes(word));
    if (row.tagName === "TR" && !row.hidden) shown += 1;
  }
  for (const body of document.querySelectorAll("table.scores tbody")) {
    body.hidden = words.length > 0 && ![...body.rows].some((row) => !row.hidden && !row.classList.contains("block"));
  }
  document.getElementById("filtered").textContent = words.length ? `${shown} ${shown === 1 ? "row" : "rows"}` : "";
});

// A measured row's name opens what is behind it.
const places = new Map([...document.querySelectorAll("details.row")].map((place) => [place.dataset.row, place]));
for (const name of document.querySelectorAll("tbody.measured th[scope=row]")) {
  const place = places.get(name.dataset.row);
  if (place === undefined) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "open";
  button.append(...name.childNodes);
  button.addEventListener("click", () => {
    for (const other of places.values()) other.classList.remove("found");
    place.open = true;
    place.classList.add("found");
    place.scrollIntoView({ block: "start" });
    place.querySelector("summary").focus({ preventScroll: true });
  });
  name.append(button);
}

// Light and dark: the system's choice until the reader makes one. Figures are drawn in its colours.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
dark.addEventListener("change", () => setTheme(document.documentElement.dataset.theme));

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? dark.matches : chosen === "dark";
}

function setTheme(name) {
  if (name !== undefined) document.documentElement.dataset.theme = name;
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-pressed", String(isDark()));
  return drawAll();
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const [ink, dim, rule, grid] = ["--ink", "--dim", "--rule", "--grid"].map((name) => style.getPropertyValue(name).trim());
  const words = { labelColor: dim, titleColor: ink, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { ...words, gridColor: grid, domainColor: rule, tickColor: rule },
    legend: words,
    header: { labelColor: ink, labelFontSize: 12 },
    title: { color: ink, fontSize: 13, fontWeight: "normal" },
    text: { color: ink },
    view: { stroke: rule },
  };
}

// A figure that is wider than its place is drawn anew for that width, so that its words keep their size: panels
// stand below each other, legends have one column, and names take at most two fifths of the width.
function fitted(specification, width) {
  const spec = structuredClone(specification);
  const panels = spec.concat ?? (spec.facet ? [spec.spec] : null);
  const natural = panels ? spec.columns * (panels[0].width + 70) : spec.width + 70;
  if (natural <= width) return spec;
  if (panels) {
    spec.columns = width < 480 ? 1 : spec.columns;
    for (const panel of panels) panel.width = Math.max(120, Math.floor(width / spec.columns) - 75);
  } else {
    spec.width = width;
    spec.autosize = { type: "fit-x", contains: "padding" };
  }
  narrow(spec, width);
  return spec;
}

function narrow(node, width) {
  if (node === null || typeof node !== "object") return;
  for (const [name, value] of Object.entries(node)) {
    if (name === "values") continue;
    if (name === "labelLimit") node[name] = Math.min(value, Math.floor((node.orient === "bottom" ? 0.8 : 0.4) * width));
    if (name === "columns" && node.orient === "bottom" && width < 480) node[name] = Math.min(value, node.title === "gold score" ? 2 : 1);
    if (name === "tickCount") node[name] = Math.min(value, 4);
    if (name === "labelAngle") node[name] = -40;
    narrow(value, width);
  }
}

let drawnAt = 0;
window.addEventListener("resize", () => {
  if (Math.abs(document.body.clientWidth - drawnAt) > 40) drawAll();
});

async function drawAll() {
  const source = document.getElementById("specifications");
  if (source === null) return;
  drawnAt = document.body.clientWidth;
  const specifications = JSON.parse(source.textContent);
  for (const place of document.querySelectorAll(".chart")) {
    const options = { renderer: "svg", actions: false, ast: true, config: colours(), tooltip: { disableDefaultStyle: false } };
    try {
      await window.drawChart(place, fitted(specifications[place.dataset.figure], place.parentElement.clientWidth), options);
    } catch (error) {
      place.textContent = `This figure could not be drawn: ${error.message}`;
      console.error(place.dataset.figure, error);
    }
  }
  document.documentElement.dataset.drawn = "yes";
}

// On paper there is nothing to click: the notes, with the sources of published rows, are printed.
const notes = [...document.querySelectorAll("details.notes")];
window.addEventListener("beforeprint", () => notes.forEach((note) => (note.open = true)));
window.addEventListener("afterprint", () => notes.forEach((note) => (note.open = false)));

setTheme(undefined);
