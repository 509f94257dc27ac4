// @ts-check
// Puts charts, tables and the explorer into their places.

/** @returns {Promise<void>} */
async function main() {
  const text = document.getElementById("page-data")?.textContent ?? "{}";
  /** @type {{ charts: Record<string, Chart>, tables: Record<string, Table>,
   *   missing: Record<string, string>, confusion: Confusion | null, explorer: Explored | null }} */
  const page = JSON.parse(text);

  /** @type {(() => Promise<void>)[]} */
  const draws = [];
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const name = figure.getAttribute("data-chart") ?? "";
    if (name === "confusion" && page.confusion) {
      draws.push(makeConfusion(page.confusion, page.charts.confusion));
    } else if (page.charts[name]) {
      draws.push(makeChart(/** @type {HTMLElement} */ (figure), page.charts[name]));
    } else {
      sayMissing(figure, page.missing[name]);
    }
  }
  for (const place of document.querySelectorAll("[data-table]")) {
    const name = place.getAttribute("data-table") ?? "";
    if (page.tables[name]) new DataTable(/** @type {HTMLElement} */ (place), page.tables[name]);
    else if (name !== "confused") sayMissing(place, page.missing[name]);
  }

  const redraw = () => Promise.all(draws.map((draw) => draw()));
  await redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  if (page.explorer) {
    const packed = document.getElementById("explorer-data")?.textContent ?? "";
    const explorer = new Explorer(new Prepared(page.explorer, await unpack(packed)));
    if (document.documentElement.dataset.live === "yes") explorer.painter = new Painter(explorer);
  }
  document.documentElement.dataset.ready = "yes";
}

/** @param {Element} place
 * @param {string | undefined} why */
function sayMissing(place, why) {
  const note = place.appendChild(document.createElement("p"));
  note.className = "missing";
  note.textContent = why ?? "Nothing was measured.";
}

main();
