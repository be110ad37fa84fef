// Waits until the figures are drawn, then uses the page as a reader would and writes down what it sees.
const seen = {};
const column = (name) => [...document.querySelectorAll("#table-sts thead th")].findIndex((th) => th.textContent === name);
const names = () => [...document.querySelectorAll("#table-sts tbody.measured th[scope=row]")].map((th) => th.textContent);
const click = (name) => document.querySelectorAll("#table-sts thead th")[column(name)].querySelector("button").click();
function use() {
  if (document.documentElement.dataset.drawn !== "yes") return setTimeout(use, 50);
  seen.before = names();
  click("STS12"); seen.descending = names();
  seen.sorted = document.querySelectorAll("#table-sts thead th")[column("STS12")].getAttribute("aria-sort");
  click("STS12"); seen.ascending = names();
  click("SICK-R"); seen.missing = names();
  seen.published = document.querySelectorAll("#table-sts tbody.published tr").length;
  seen.charts = [...document.querySelectorAll(".chart")].map((c) => [c.dataset.figure, c.querySelectorAll("svg path").length]);
  document.querySelector("#table-sts tbody.measured th button").click();
  seen.open = [...document.querySelectorAll("details.row[open]")].map((d) => d.querySelector("summary").textContent.trim());
  seen.focus = document.activeElement.tagName;
  const filter = document.getElementById("filter");
  const type = (text) => { filter.value = text; filter.dispatchEvent(new Event("input")); };
  const visible = () => [...document.querySelectorAll("tbody.measured th[scope=row]")].filter((th) => th.offsetParent).map((th) => th.textContent);
  type("SIM  csE"); seen.filtered = [visible(), document.getElementById("filtered").textContent]; type("");
  seen.unfiltered = visible().length;
  seen.wide = heights();
  document.body.style.width = "400px";
  const scroll = document.querySelector(".scroll");
  scroll.scrollLeft = 150;
  const left = (selector) => Math.round(scroll.querySelector(selector).getBoundingClientRect().left - scroll.getBoundingClientRect().left);
  seen.stays = ["thead th", "tbody.measured th[scope=row]", "tr.block th span"].map(left);
  seen.scrolled = scroll.scrollLeft;
  drawAll().then(() => { seen.narrow = heights(); finish(); });
}
function heights() {
  return [...document.querySelectorAll(".chart")].map((chart) => {
    const svg = chart.querySelector("svg");
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [chart.dataset.figure, chart.parentElement.clientWidth, Math.round(100 * scale)];
  });
}
function finish() {
  const ink = () => getComputedStyle(document.body).backgroundColor;
  seen.papers = [ink()];
  document.getElementById("theme").click(); seen.papers.push(ink());
  seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const out = document.createElement("script");
  out.type = "application/json"; out.id = "seen"; out.textContent = JSON.stringify(seen).replaceAll("<", "\\u003c");
  document.body.append(out);
}
use();
