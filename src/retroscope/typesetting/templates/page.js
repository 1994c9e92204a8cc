"use strict";
// What every page does: unpack its data, draw its figures, copy, save, print. Nothing is fetched, nothing evaluated.

/** @type {Record<string, any>} figure -> the Vega view that shows it */
const views = {};
/** @type {Record<string, any>} figure -> its Vega-Lite specification */
let specifications = {};
/** @type {Record<string, {csv: string, latex: string}>} table -> its sources */
let tableSources = {};

/** Return the element of an id. @param {string} id @returns {HTMLElement} */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`this page has no element ${id}`);
  return found;
}

/** Return a text that is packed in the page. @param {string} name @returns {Promise<string>} */
async function unpack(name) {
  const bytes = Uint8Array.from(atob(element(`packed-${name}`).textContent || ""), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/** Announce a message to screen readers. @param {string} message */
function say(message) {
  element("said").textContent = message;
}

/** Run the figure library, whose hash the page's policy allows. */
async function loadLibrary() {
  const script = document.createElement("script");
  script.textContent = await unpack("library");
  document.head.append(script);
}

/** Draw a figure at its place, once; `ast` interprets expressions, since the policy forbids to evaluate them.
 * @param {HTMLElement} place */
async function draw(place) {
  const name = place.dataset.figure || "";
  if (place.dataset.drawn || !(name in specifications)) return;
  place.dataset.drawn = "yes";
  const spec = specifications[name];
  spec.config.legend.columns = Math.max(1, Math.floor(place.clientWidth / 150));
  const options = { renderer: "svg", ast: true, actions: false, defaultStyle: false, logLevel: 1, tooltip: { disableDefaultStyle: true } };
  try {
    views[name] = (await /** @type {any} */ (window).vegaEmbed(place, spec, options)).view;
    place.querySelector("svg")?.setAttribute("aria-hidden", "true"); // the words are those of the place
    place.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  } catch (error) {
    place.textContent = `This figure could not be drawn: ${error}`;
  }
}

/** Copy a text, and announce whether the browser allowed it. @param {string} text @param {string} what */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say(`this browser does not allow the page to copy; select the text and copy it yourself`);
  }
}

/** Save a figure as a file, on white. @param {string} name @param {"svg" | "png"} kind */
async function save(name, kind) {
  const view = views[name];
  view.background("white");
  const link = document.createElement("a");
  link.href = await view.toImageURL(kind, 2);
  link.download = `${name}.${kind}`;
  link.click();
  view.background("transparent");
  say(`${link.download} saved`);
}

/** Do what a pressed button says. @param {Event} event */
function press(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const [button, row] = [target.closest("button"), target.closest("tr[id]")];
  if (row && !button) history.replaceState(null, "", `#${encodeURIComponent(row.id).replace("%3D", "=")}`); // its address
  if (!button) return;
  const { copyTable, copyText, saveFigure, as } = button.dataset;
  if (copyTable) copy(tableSources[copyTable][as === "csv" ? "csv" : "latex"], `table as ${as}`);
  if (copyText) copy(element(copyText).textContent || "", copyText);
  if (saveFigure) save(saveFigure, as === "svg" ? "svg" : "png");
}

/** Unfold everything that hides the element that the address names, and scroll to it. */
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target?.parentElement; one; one = one.parentElement) if (one instanceof HTMLDetailsElement) one.open = true;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

/** Mark in the table of contents the section that is on the screen. */
function markContents() {
  const links = [...document.querySelectorAll(".contents a")];
  const sections = links.map((link) => document.getElementById((link.getAttribute("href") || "#").slice(1)));
  const above = sections.filter((one) => one && one.getBoundingClientRect().top < innerHeight / 3).length;
  links.forEach((link, i) => (i === above - 1 ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
}

/** Unpack everything and make the page work. */
async function start() {
  document.documentElement.classList.add("with-scripts");
  document.addEventListener("click", press);
  addEventListener("hashchange", follow);
  addEventListener("scroll", markContents, { passive: true });
  const places = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-figure]")]);
  addEventListener("beforeprint", () => {
    const folded = document.querySelectorAll("main details:not(#statements)"); // every section has its own statements
    for (const one of folded) /** @type {HTMLDetailsElement} */ (one).open = true;
    places.forEach(draw);
  });
  [specifications, tableSources] = (await Promise.all([unpack("figures"), unpack("tables"), loadLibrary()])).slice(0, 2).map((text) => JSON.parse(String(text)));
  const near = new IntersectionObserver((seen) => seen.forEach((one) => one.isIntersecting && draw(/** @type {HTMLElement} */ (one.target))), { rootMargin: "600px" });
  places.forEach((place) => near.observe(place));
  markContents();
  if (location.hash) follow();
}

const started = start();
