"use strict";
// Draw every figure from the specification beside it. `ast` interprets expressions, so that the
// page's policy can forbid eval.
for (const data of document.querySelectorAll("script[data-chart]")) {
  const place = document.getElementById(data.dataset.chart);
  const actions = { export: { svg: true, png: true }, source: false, compiled: false, editor: false };
  window.vegaEmbed(place, JSON.parse(data.textContent), { renderer: "svg", ast: true, actions, tooltip: { theme: "light" } })
    .catch((error) => { place.textContent = "This figure could not be drawn: " + error.message; });
}
// Sort a table by the column whose heading is pressed: numbers by value, texts by alphabet.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") !== "descending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = heading.classList.contains("number");
      const key = (row) => row.cells[column].dataset.value;
      const order = (a, b) => (numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b)));
      const rows = [...table.tBodies[0].rows].sort(order);
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}
// Print shows what is folded away.
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("main details:not(.vega-embed details)")) folded.open = true;
});
