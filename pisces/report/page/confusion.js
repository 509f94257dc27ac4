// @ts-check
// Which class is taken for which, at one SNR or at all.

/**
 * @typedef {{ classes: string[], snrs: string[], counts: number[][][] }} Confusion
 */

const MOST_PAIRS = 10;

/** Draws the matrix of the chosen SNR, and lists the pairs that are confused most.
 * @param {Confusion} confusion counts by SNR, true class and predicted class
 * @param {Chart} chart
 * @returns {() => Promise<void>} draws it again */
function makeConfusion(confusion, chart) {
  const select = /** @type {HTMLSelectElement} */ (document.getElementById("confusion-snr"));
  const figure = /** @type {HTMLElement} */ (document.querySelector('[data-chart="confusion"]'));
  const list = /** @type {HTMLElement} */ (document.querySelector('[data-table="confused"]'));
  setOptions(select, [{ value: "all", label: "all" },
    ...confusion.snrs.map((label, value) => ({ value, label }))]);

  figure.replaceChildren();
  const shown = { ...chart, rows: /** @type {Row[]} */ ([]) };
  const draw = makeChart(figure, shown);

  function choose() {
    const every = confusion.classes.map((_, a) => confusion.classes.map((_, p) => {
      const ofSnrs = confusion.counts.map((counts) => counts[a][p]);
      return select.value === "all" ? ofSnrs.reduce((x, y) => x + y, 0) : ofSnrs[+select.value];
    }));
    /** @type {Row[]} */
    const rows = [];
    for (const [a, ofClass] of every.entries()) {
      const total = ofClass.reduce((x, y) => x + y, 0);
      for (const [p, count] of ofClass.entries()) {
        const share = total ? (100 * count) / total : 0;
        const [actual, predicted] = [confusion.classes[a], confusion.classes[p]];
        rows.push({ actual, predicted, count, total, share });
      }
    }
    shown.rows.splice(0, Infinity, ...rows);
    listPairs(rows);
    return draw();
  }

  /** @param {Row[]} rows */
  function listPairs(rows) {
    const pairs = rows.filter((row) => row.actual !== row.predicted && Number(row.count) > 0);
    pairs.sort((a, b) => Number(b.share) - Number(a.share) || Number(b.count) - Number(a.count));
    list.replaceChildren();
    new DataTable(list, {
      columns: [
        { name: "actual", label: "It is", kind: "text", filter: false, hidden: false },
        { name: "predicted", label: "The model says", kind: "text", filter: false, hidden: false },
        { name: "share", label: "Of its frames (%)", kind: "number", filter: false, hidden: false },
        { name: "count", label: "Frames", kind: "number", filter: false, hidden: false },
        { name: "total", label: "of", kind: "number", filter: false, hidden: false },
      ],
      rows: pairs.slice(0, MOST_PAIRS).map((row) =>
        [row.actual, row.predicted, row.share, row.count, row.total].map((one) =>
          typeof one === "boolean" ? null : one)),
      sort: null,
      only: null,
      chosen: {},
      caption: `Most confused at ${select.selectedOptions[0].textContent}`
        + `${select.value === "all" ? " SNRs" : ""}.`,
    });
  }

  select.addEventListener("change", choose);
  return choose;
}
