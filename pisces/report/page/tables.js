// @ts-check
// Tables that are sorted by their heads and filtered by what stands in their columns.

/**
 * @typedef {{ name: string, label: string, kind: "text" | "number" | "long", filter: boolean,
 *   hidden: boolean }} Column
 * @typedef {{ columns: Column[], rows: (string | number | null)[][], sort: string | null,
 *   only: { column: string, below: number, label: string } | null,
 *   chosen: Record<string, string>, caption: string }} Table
 */

/** Shown at first of a table that has more than MOST_AT_ONCE. */
const FIRST_ROWS = 15;
const MOST_AT_ONCE = 30;

/** A number as people read it: three digits, without an exponent where that can be.
 * @param {string | number | null} value
 * @returns {string} */
function shownValue(value) {
  if (value === null) return "";
  if (typeof value === "string") return value;
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) >= 1000) return value.toFixed(0);
  if (Math.abs(value) < 0.0005) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** Numbers by size, texts as people order them, what is missing last.
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {number} sign 1 for rising, -1 for falling
 * @returns {number} */
function compareValues(a, b, sign) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Builds the controls and the table below them.
 * @param {HTMLElement} place
 * @param {Table} table */
function makeTable(place, table) {
  const index = new Map(table.columns.map((column, i) => [column.name, i]));
  let sorted = table.sort === null ? -1 : Number(index.get(table.sort));
  let sign = -1;
  let shown = table.rows.length > MOST_AT_ONCE ? FIRST_ROWS : Infinity;

  const controls = place.appendChild(document.createElement("div"));
  controls.className = "controls";
  /** @type {Map<number, HTMLSelectElement>} */
  const filters = new Map();
  for (const [i, column] of table.columns.entries()) {
    if (!column.filter) continue;
    const values = [...new Set(table.rows.map((row) => row[i]))];
    values.sort((a, b) => compareValues(a, b, 1));
    const options = values.map((value) => ({ value: String(value), label: shownValue(value) || "–" }));
    const select = labelledSelect(controls, column.label, [{ value: "", label: "all" }, ...options]);
    if (table.chosen[column.name]) select.value = table.chosen[column.name];
    filters.set(i, select);
  }

  /** @type {HTMLInputElement | null} */
  let only = null;
  if (table.only) {
    const label = controls.appendChild(document.createElement("label"));
    only = label.appendChild(document.createElement("input"));
    only.type = "checkbox";
    only.checked = true;
    label.append(table.only.label);
  }
  /** @type {HTMLInputElement | null} */
  let search = null;
  if (table.rows.length > MOST_AT_ONCE) {
    const label = controls.appendChild(document.createElement("label"));
    label.append("Search");
    search = label.appendChild(document.createElement("input"));
    search.type = "search";
  }

  const scroll = place.appendChild(document.createElement("div"));
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", table.caption || "Table");
  const element = scroll.appendChild(document.createElement("table"));
  const head = element.createTHead().insertRow();
  const body = element.createTBody();
  const count = place.appendChild(document.createElement("p"));
  count.className = "quiet";
  const more = place.appendChild(document.createElement("button"));
  more.className = "more";
  more.type = "button";

  for (const [i, column] of table.columns.entries()) {
    const cell = head.appendChild(document.createElement("th"));
    cell.scope = "col";
    if (column.kind === "number") cell.className = "number";
    const button = cell.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.label;
    button.title = column.name;
    button.addEventListener("click", () => {
      sign = sorted === i ? -sign : column.kind === "number" ? -1 : 1;
      sorted = i;
      fill();
    });
  }

  /** @returns {(string | number | null)[][]} */
  function matching() {
    const word = search ? search.value.toLowerCase() : "";
    return table.rows.filter((row) => {
      for (const [i, select] of filters) {
        if (select.value !== "" && String(row[i]) !== select.value) return false;
      }
      if (only?.checked && table.only) {
        const value = row[Number(index.get(table.only.column))];
        if (typeof value !== "number" || !(value < table.only.below)) return false;
      }
      return !word || row.some((value) => shownValue(value).toLowerCase().includes(word));
    });
  }

  function fill() {
    const rows = matching();
    if (sorted >= 0) rows.sort((a, b) => compareValues(a[sorted], b[sorted], sign));
    // What a filter leaves of its column is said by the filter.
    const said = [...filters].filter(([, one]) => one.value !== "").map(([i]) => i);
    const never = table.columns.flatMap((column, i) => (column.hidden ? [i] : []));
    const hidden = new Set([...said, ...never]);
    body.replaceChildren(
      ...rows.slice(0, shown).map((row) => tableRow(table.columns, row, hidden)));
    for (const [i, cell] of [...head.cells].entries()) {
      cell.hidden = hidden.has(i);
      if (i === sorted) cell.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
    const visible = Math.min(shown, rows.length);
    count.textContent = [
      rows.length === visible ? `${rows.length} rows.` : `${visible} of ${rows.length} rows.`,
      table.caption,
    ].join(" ");
    more.hidden = rows.length <= shown;
    more.textContent = `Show all ${rows.length} rows`;
  }

  more.addEventListener("click", () => { shown = Infinity; fill(); });
  for (const control of [...filters.values(), only, search]) control?.addEventListener("input", fill);
  if (!controls.childElementCount) controls.remove();
  if (only && !matching().length) only.checked = false;
  fill();
}

/** @param {Column[]} columns
 * @param {(string | number | null)[]} values
 * @param {Set<number>} hidden columns
 * @returns {HTMLTableRowElement} */
function tableRow(columns, values, hidden) {
  const row = document.createElement("tr");
  for (const [i, value] of values.entries()) {
    const cell = row.insertCell();
    cell.textContent = shownValue(value);
    cell.hidden = hidden.has(i);
    if (columns[i].kind === "number") cell.title = value === null ? "" : String(value);
    if (columns[i].kind !== "text") cell.className = columns[i].kind;
  }
  return row;
}
