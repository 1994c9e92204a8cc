"use strict";
// Every query: a table to search and sort, both rankings of a query, and the curves of the queries that are chosen.

/** @typedef {"before" | "after"} Side */
/** @typedef {{collection: string, measure: string, depth: number, listed: number, cut: number, ids: string[],
 *   texts: string[], words: number[], ranks: Record<Side, number[]>, scores: Record<Side, (number | null)[]>,
 *   hits: Record<Side, number[][]>, similarities: Record<Side, number[][]>, relevant: number[][],
 *   passages: {ids: string[], texts: string[]}}} Queries */
/** @typedef {{collection: string, measure: string, layers: string[], ids: string[],
 *   scores: Record<Side, (number | null)[][]>, ranks: Record<Side, number[][]> | null}} Layers */
/** @typedef {{collection: string, ids: string[], query: Record<Side, string[]>, passage: Record<Side, string[]>}} Says */
/** @typedef {{number: number, id: string, text: string, words: number, before: number, after: number, gained: number,
 *   change: number}} Row */

const SIDES = /** @type {Side[]} */ (["before", "after"]);
const STEP = 50; // rows that are shown at once
const WORD = /[\p{L}\p{N}]+/gu;
/** @type {Queries[]} */
let collections = [];
/** @type {Layers[]} */
let layersOf = [];
/** @type {Says[]} */
let saysOf = [];
/** @type {Row[]} */
let rows = [];
/** @type {Row[]} */
let chosen = [];
/** @type {{key: keyof Row, down: boolean}} */
let sorting = { key: "change", down: true };
let shown = STEP;

/** @returns {HTMLFormElement} */
function form() {
  return /** @type {HTMLFormElement} */ (element("choices"));
}

/** Return what a control of the form holds. @param {string} name @returns {string} */
function choice(name) {
  return String(new FormData(form()).get(name) ?? "");
}

/** Return the collection that is chosen. @returns {Queries} */
function current() {
  return collections[Number(choice("collection") || 0)];
}

/** Make an element with a text, which stays text, and children.
 * @param {string} tag @param {string} text @param {Record<string, string>} attributes @param {Node[]} children */
function make(tag, text = "", attributes = {}, children = []) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Return a row for every query of a collection. @param {Queries} q @returns {Row[]} */
function makeRows(q) {
  return q.ids.map((id, number) => {
    const [before, after] = SIDES.map((side) => q.ranks[side][number] || q.depth + 1);
    const change = (q.scores.after[number] ?? NaN) - (q.scores.before[number] ?? NaN);
    return { number, id, text: q.texts[number], words: q.words[number], before, after, gained: before - after, change };
  });
}

/** Return whether the form's choices hold for a row. @param {Row} row */
function fits(row) {
  const [text, change] = [choice("text").toLowerCase(), choice("change")];
  const outcome = row.change > 0 ? "won" : row.change < 0 ? "lost" : row.change === 0 ? "same" : "unknown";
  const inside = row.words >= Number(choice("fewest") || 0) && row.words <= Number(choice("most") || Infinity);
  return inside && (change === "all" || change === outcome) && `${row.id} ${row.text}`.toLowerCase().includes(text);
}

/** Order two rows by the heading that was pressed, then as stored. @param {Row} a @param {Row} b */
function compare(a, b) {
  const [x, y] = [a[sorting.key], b[sorting.key]];
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a.number - b.number; // unknown last
  const order = typeof x === "string" || typeof y === "string" ? String(x).localeCompare(String(y)) : x - y || 0;
  return (sorting.down ? -order : order) || a.number - b.number;
}

/** Return a rank as printed. @param {number} rank @param {Queries} q */
function printedRank(rank, q) {
  return rank > q.depth ? `> ${q.depth}` : String(rank);
}

/** Return ranks gained as printed: a bound where one rank is only known to be deep. @param {Row} row @param {Queries} q */
function printedGain(row, q) {
  if (row.before > q.depth && row.after > q.depth) return "unknown";
  const bound = row.before === row.after ? "" : row.before > q.depth ? "\u2265 " : row.after > q.depth ? "\u2264 " : "";
  return bound + signed(row.gained, 0);
}

/** Return a number with its sign. @param {number} value @param {number} digits */
function signed(value, digits) {
  if (Number.isNaN(value)) return "none";
  return (value > 0 ? "+" : value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(digits);
}

/** Choose, sort and show. */
function refresh() {
  const q = current();
  chosen = rows.filter(fits).sort(compare);
  const count = (/** @type {(row: Row) => boolean} */ test) => chosen.filter(test).length.toLocaleString("en");
  element("chosen").textContent = `${count(() => true)} of ${rows.length.toLocaleString("en")} queries: ` +
    `${count((row) => row.change > 0)} won, ${count((row) => row.change < 0)} lost by ${q.measure}.`;
  show();
  drawChosen();
}

/** Show the first rows of the chosen queries. */
function show() {
  element("query-rows").replaceChildren(...chosen.slice(0, shown).map(makeRow));
  element("more-queries").hidden = chosen.length <= shown;
}

/** Make the row of a query, which opens. @param {Row} row */
function makeRow(row) {
  const q = current();
  const button = make("button", "", { type: "button", class: "opens", "aria-expanded": "false" }, [make("bdi", row.text || "(no text)")]);
  const cells = [String(row.words), printedRank(row.before, q), printedRank(row.after, q), printedGain(row, q), signed(row.change, 3)];
  const tr = make("tr", "", { id: `query=${row.id}` }, [make("td", "", { class: "query" }, [button]), ...cells.map((text) => make("td", text, { class: "number" }))]);
  const sign = row.change > 0 ? "gain" : row.change < 0 ? "loss" : "";
  if (sign) tr.lastElementChild?.classList.add(sign);
  button.addEventListener("click", () => open(tr, row, button.getAttribute("aria-expanded") !== "true"));
  return tr;
}

/** Return the address of a query on this page. @param {Row} row */
function address(row) {
  const number = collections.indexOf(current());
  return `#query=${encodeURIComponent(row.id)}${number ? `&collection=${number}` : ""}`;
}

/** Open or close the details of a query. @param {HTMLElement} tr @param {Row} row @param {boolean} opening */
function open(tr, row, opening) {
  tr.querySelector("button")?.setAttribute("aria-expanded", String(opening));
  if (!opening) return tr.nextElementSibling?.remove();
  if (tr.nextElementSibling?.classList.contains("details")) return undefined;
  const link = make("a", `link to query ${row.id}`, { href: address(row) });
  const parts = [makeRankings(row), ...makeRanks(row), ...makeSays(row), make("p", "", { class: "tools" }, [link])];
  return tr.after(make("tr", "", { class: "details" }, [make("td", "", { colspan: "6" }, parts)]));
}

/** Make both rankings of a query, side by side. @param {Row} row */
function makeRankings(row) {
  const q = current();
  const words = new Set((row.text.toLowerCase().match(WORD) || []).filter((word) => word.length > 2));
  const lists = SIDES.map((side) => {
    const hits = q.hits[side][row.number];
    if (!hits.length) return make("p", `${side}: this query is not in the sample whose rankings are stored.`, { class: "note" });
    const items = hits.map((hit, place) => makeHit(q, row.number, hit, q.similarities[side][row.number][place], words));
    return make("div", "", {}, [make("p", side, { class: `side ${side}` }), make("ol", "", {}, items)]);
  });
  return make("div", "", { class: "columns" }, lists);
}

/** Make one passage of a ranking. @param {Queries} q @param {number} query @param {number} hit @param {number} similarity
 * @param {Set<string>} words */
function makeHit(q, query, hit, similarity, words) {
  const relevant = q.relevant[query].includes(hit) ? [make("span", "relevant", { class: "badge pass" }), " "] : [];
  const text = make("bdi", "", {}, marked(q.passages.texts[hit], words));
  const facts = make("span", "", { class: "detail" }, [" ", make("code", q.passages.ids[hit]), ` ${similarity}`].map(asNode));
  return make("li", "", {}, [...relevant, text, facts].map(asNode));
}

/** @param {string | Node} one @returns {Node} */
function asNode(one) {
  return typeof one === "string" ? document.createTextNode(one) : one;
}

/** Return a text as nodes, those of its words marked that the query has, too. @param {string} text @param {Set<string>} words */
function marked(text, words) {
  /** @type {Node[]} */
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(WORD)) {
    if (!words.has(found[0].toLowerCase())) continue;
    nodes.push(document.createTextNode(text.slice(end, found.index)), make("mark", found[0]));
    end = found.index + found[0].length;
  }
  return [...nodes, document.createTextNode(text.slice(end))];
}

/** Make the table of the rank of a query's first relevant passage by layer; none if the ranks are not stored. @param {Row} row */
function makeRanks(row) {
  const q = current();
  const layers = layersOf.find((one) => one.collection === q.collection);
  const place = layers ? layers.ids.indexOf(row.id) : -1;
  if (!layers?.ranks || place < 0) return [];
  const ranks = layers.ranks;
  const line = (/** @type {Side} */ side) => make("tr", "", {}, [make("th", side, { scope: "row", class: `side ${side}` }),
    ...ranks[side][place].map((rank) => make("td", printedRank(rank || q.depth + 1, q), { class: "number" }))]);
  const heads = ["layer", ...layers.layers].map((name) => make("th", name, { scope: "col", class: "number" }));
  return [make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": "rank by layer" }, [make("table", "", {}, [
    make("caption", "Rank of the first relevant passage, by layer"), make("thead", "", {}, [make("tr", "", {}, heads)]), make("tbody", "", {}, SIDES.map(line)),
  ])])];
}

/** Make the table of the words that the vectors of a query and of its passage decode to; none if they are not stored. @param {Row} row */
function makeSays(row) {
  const says = saysOf.find((one) => one.collection === current().collection);
  const place = says ? says.ids.indexOf(row.id) : -1;
  if (!says || place < 0) return [];
  const line = (/** @type {Side} */ side) => make("tr", "", {}, [make("th", side, { scope: "row", class: `side ${side}` }),
    ...[says.query, says.passage].map((words) => make("td", "", {}, [make("bdi", words[side][place])]))]);
  const heads = ["vector", "of the query", "of its relevant passage"].map((name) => make("th", name, { scope: "col" }));
  return [make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": "words that its vectors decode to" }, [make("table", "", {}, [
    make("caption", "Words that the vectors decode to, by the backbone's language-model head"), make("thead", "", {}, [make("tr", "", {}, heads)]), make("tbody", "", {}, SIDES.map(line)),
  ])])];
}

/** Return mean and 95 % interval (normal approximation) of the scores that are known, which lie in [0, 1]. @param {(number | null)[]} values */
function summary(values) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null));
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = known.length > 1 ? 1.96 * Math.sqrt(squares / (known.length - 1) / known.length) : 0;
  return { value: mean, low: Math.max(0, mean - half), high: Math.min(1, mean + half) };
}

/** Redraw the curves for the chosen queries. */
function drawChosen() {
  const layers = layersOf.find((one) => one.collection === current().collection);
  const view = views["chosen_layers"];
  if (!layers || !view) return;
  const place = new Map(layers.ids.map((id, number) => [id, number]));
  const picked = chosen.map((row) => place.get(row.id)).filter((one) => one !== undefined);
  const points = SIDES.flatMap((side) => layers.layers.map((_, layer) => ({
    series: side, line: side, layer, ...summary(picked.map((one) => layers.scores[side][one][layer])),
  })));
  view.data("chosen", picked.length ? points : []).runAsync();
}

/** Show another collection. */
function changeCollection() {
  const q = current();
  rows = makeRows(q);
  const sample = q.listed < rows.length ? `Rankings are stored for a sample of ${q.listed} queries: half of them are those that changed most, half were drawn at random. ` : "";
  element("queries-caption").textContent = `Queries of ${q.collection}; open one for its rankings`;
  element("queries-measure").textContent = `change of ${q.measure}`;
  element("queries-note").textContent = `Rank: the rank of the first relevant passage, if it is among the first ${q.depth} passages. ${sample}` +
    `Passages are cut after ${q.cut} characters. Curves of chosen queries are for exploration: bands are 95 % intervals by the normal approximation, and nothing is tested.`;
  shown = STEP;
  refresh();
}

/** Sort by a heading. @param {HTMLElement} heading */
function sortBy(heading) {
  const key = /** @type {keyof Row} */ (heading.dataset.key);
  sorting = { key, down: sorting.key === key ? !sorting.down : key !== "text" };
  for (const other of document.querySelectorAll("#queries th[data-key]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
  refresh();
}

/** Show the query that the address names, once the choices are cleared. */
function followQuery() {
  if (!location.hash.startsWith("#query=")) return;
  const [name, number = "0"] = location.hash.slice(7).split("&collection=");
  const id = decodeURIComponent(name);
  if (!collections[Number(number)]?.ids.includes(id)) return;
  form().reset();
  setTimeout(() => {
    const select = form().elements.namedItem("collection");
    if (select instanceof HTMLSelectElement) select.value = number;
    changeCollection();
    const place = chosen.findIndex((row) => row.id === id);
    shown = Math.max(shown, place + 1);
    show();
    const tr = element(`query=${id}`);
    open(tr, chosen[place], true);
    tr.scrollIntoView();
  });
}

/** Return the chosen queries as CSV. */
function queriesAsCsv() {
  const quoted = (/** @type {string} */ text) => `"${text.replaceAll('"', '""')}"`;
  const q = current();
  const lines = chosen.map((row) => [quoted(row.id), quoted(row.text), ...SIDES.map((side) => q.ranks[side][row.number] || ""), Number.isNaN(row.change) ? "" : row.change.toFixed(4)].join(","));
  return ["query_id,text,rank_before,rank_after,change", ...lines].join("\n") + "\n";
}

/** Unpack the queries and make their section work. */
async function startQueries() {
  if (!document.getElementById("packed-queries")) return;
  await started;
  collections = JSON.parse(await unpack("queries"));
  layersOf = document.getElementById("packed-layers") ? JSON.parse(await unpack("layers")) : [];
  saysOf = document.getElementById("packed-vocabulary") ? JSON.parse(await unpack("vocabulary")) : [];
  form().addEventListener("submit", (event) => event.preventDefault());
  form().addEventListener("input", (event) => (/** @type {HTMLElement} */ (event.target).getAttribute("name") === "collection" ? changeCollection() : ((shown = STEP), refresh())));
  form().addEventListener("reset", () => setTimeout(changeCollection));
  document.addEventListener("drawn", drawChosen);
  for (const heading of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#queries th[data-key]")))
    heading.querySelector("button")?.addEventListener("click", () => sortBy(heading));
  element("more-queries").addEventListener("click", () => ((shown += STEP), show()));
  element("copy-queries").addEventListener("click", () => copy(queriesAsCsv(), "queries"));
  addEventListener("hashchange", followQuery);
  changeCollection();
  followQuery();
}

const queriesStarted = startQueries();
