// @ts-check
// Charts of Vega-Lite, drawn anew for other filters, widths and colours of the screen.

/**
 * @typedef {Record<string, string | number | boolean | null>} Row
 * @typedef {{ field: string, label: string, options: { value: string | number, label: string }[] }}
 *   Filter
 * @typedef {{ spec: any, rows: Row[], filters: Filter[], caption: string }} Chart
 */

/** Colours of text and lines on the screen as it is.
 * @returns {Record<string, any>} */
function chartConfig() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const quiet = style.getPropertyValue("--quiet").trim();
  const line = style.getPropertyValue("--line").trim();
  const font = "system-ui, sans-serif";
  return {
    background: "transparent",
    font,
    axis: {
      labelColor: ink, titleColor: ink, gridColor: line, domainColor: quiet, tickColor: quiet,
      titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12,
    },
    legend: {
      labelColor: ink, titleColor: ink, orient: "bottom", titleFontWeight: "normal",
      labelFontSize: 12, labelLimit: 240, symbolOpacity: 1, symbolType: "circle",
      columns: window.innerWidth < 600 ? 2 : 4,
    },
    view: { stroke: "transparent" },
    rule: { color: quiet },
    text: { color: ink },
  };
}

/** Draws one chart with the rows that its filters leave.
 * @param {HTMLElement} figure
 * @param {Chart} chart
 * @returns {() => Promise<void>} draws it again */
function makeChart(figure, chart) {
  /** @type {Map<string, HTMLSelectElement>} */
  const chosen = new Map();
  if (chart.filters.length) {
    const controls = figure.appendChild(document.createElement("div"));
    controls.className = "controls";
    for (const filter of chart.filters) {
      const select = labelledSelect(controls, filter.label, filter.options);
      select.addEventListener("change", () => draw());
      chosen.set(filter.field, select);
    }
  }
  const place = figure.appendChild(document.createElement("div"));
  place.className = "chart";
  const caption = figure.appendChild(document.createElement("figcaption"));
  caption.textContent = chart.caption;

  /** @type {any} */
  let drawn = null;
  async function draw() {
    let rows = chart.rows;
    for (const [field, select] of chosen) {
      rows = rows.filter((row) => String(row[field]) === select.value);
    }
    const spec = { ...structuredClone(chart.spec), datasets: { rows }, data: { name: "rows" } };
    keepPresent(spec.encoding.color, rows);
    for (const layer of spec.layer ?? []) keepPresent(layer.encoding?.shape, rows);
    drawn?.finalize();
    // @ts-ignore: of the inlined bundle
    drawn = await window.vegaEmbed(place, spec, {
      actions: false, renderer: "svg", config: chartConfig(), tooltip: { theme: theme() },
    });
  }
  return draw;
}

/** Leaves the series in a legend that have rows.
 * @param {{ field: string, scale?: { domain: (string | number)[], range?: string[] } } |
 *   undefined} encoding of a colour or a shape
 * @param {Row[]} rows */
function keepPresent(encoding, rows) {
  const scale = encoding?.scale;
  if (encoding?.field !== "series" || !scale) return;
  const present = new Set(rows.map((row) => row.series));
  const kept = scale.domain.map((name) => present.has(name));
  scale.range = scale.range?.filter((_, i) => kept[i]);
  scale.domain = scale.domain.filter((_, i) => kept[i]);
}

/** @returns {"dark" | "light"} */
function theme() {
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** A select with its label.
 * @param {HTMLElement} parent
 * @param {string} text
 * @param {{ value: string | number, label: string }[]} options
 * @returns {HTMLSelectElement} */
function labelledSelect(parent, text, options) {
  const label = parent.appendChild(document.createElement("label"));
  label.append(text);
  const select = label.appendChild(document.createElement("select"));
  setOptions(select, options);
  return select;
}

/** Gives a select other options, and keeps what is chosen where it is still among them.
 * @param {HTMLSelectElement} select
 * @param {{ value: string | number, label: string }[]} options */
function setOptions(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(({ value, label }) => {
    const option = document.createElement("option");
    option.value = String(value);
    option.textContent = label;
    return option;
  }));
  if (options.some(({ value }) => String(value) === before)) select.value = before;
}
