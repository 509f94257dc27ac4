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

/** Whether a value is a number, or the text of one.
 * @param {string | number | null} value
 * @returns {boolean} */
function isNumber(value) {
  return value !== null && value !== "" && Number.isFinite(Number(value));
}

/** Numbers by size after all texts, texts as people order them, what is missing last.
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {number} sign 1 for rising, -1 for falling
 * @returns {number} */
function compareValues(a, b, sign) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (isNumber(a) && isNumber(b)) return sign * (Number(a) - Number(b));
  if (isNumber(a) !== isNumber(b)) return sign * (Number(isNumber(a)) - Number(isNumber(b)));
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}

/** A table with the controls above it, and how many rows it shows below. */
class DataTable {
  /** @param {HTMLElement} place
   * @param {Table} table */
  constructor(place, table) {
    this.table = table;
    this.index = new Map(table.columns.map((column, i) => [column.name, i]));
    this.sorted = table.sort === null ? -1 : Number(this.index.get(table.sort));
    this.sign = -1; // falling
    this.shown = table.rows.length > MOST_AT_ONCE ? FIRST_ROWS : Infinity;

    const controls = place.appendChild(document.createElement("div"));
    controls.className = "controls";
    this.filters = this.makeFilters(controls);
    this.only = table.only ? this.makeOnly(controls, table.only.label) : null;
    this.search = table.rows.length > MOST_AT_ONCE ? this.makeSearch(controls) : null;
    if (!controls.childElementCount) controls.remove();

    const element = makeScrolling(place, table.caption || "Table");
    this.head = element.createTHead().insertRow();
    this.body = element.createTBody();
    table.columns.forEach((column, i) => this.makeHead(column, i));
    this.count = place.appendChild(document.createElement("p"));
    this.count.className = "quiet";
    this.more = this.makeMore(place);

    if (this.only && !this.matching().length) this.only.checked = false;
    this.fill();
  }

  /** A select for each column that filters, by its place.
   * @param {HTMLElement} controls
   * @returns {Map<number, HTMLSelectElement>} */
  makeFilters(controls) {
    /** @type {Map<number, HTMLSelectElement>} */
    const filters = new Map();
    for (const [i, column] of this.table.columns.entries()) {
      if (!column.filter) continue;
      const values = [...new Set(this.table.rows.map((row) => row[i]))];
      // Classes and masks stand in the order of the file, which is the one of all pictures.
      if (values.some(isNumber)) values.sort((a, b) => compareValues(a, b, 1));
      const options = values.map((value) => (
        { value: String(value), label: shownValue(value) || "–" }));
      const every = { value: "", label: "any" };
      const select = labelledSelect(controls, column.label, [every, ...options]);
      if (this.table.chosen[column.name]) select.value = this.table.chosen[column.name];
      select.addEventListener("input", () => this.fill());
      filters.set(i, select);
    }
    return filters;
  }

  /** A box that leaves the rows below the limit of one column.
   * @param {HTMLElement} controls
   * @param {string} text
   * @returns {HTMLInputElement} */
  makeOnly(controls, text) {
    const label = controls.appendChild(document.createElement("label"));
    const box = label.appendChild(document.createElement("input"));
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("input", () => this.fill());
    label.append(text);
    return box;
  }

  /** @param {HTMLElement} controls
   * @returns {HTMLInputElement} */
  makeSearch(controls) {
    const label = controls.appendChild(document.createElement("label"));
    label.append("Search");
    const search = label.appendChild(document.createElement("input"));
    search.type = "search";
    search.addEventListener("input", () => this.fill());
    return search;
  }

  /** The head of a column, which sorts by it: numbers the largest first, and back.
   * @param {Column} column
   * @param {number} i its place */
  makeHead(column, i) {
    const cell = this.head.appendChild(document.createElement("th"));
    cell.scope = "col";
    if (column.kind === "number") cell.className = "number";
    const button = cell.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.label;
    button.title = column.name;
    button.addEventListener("click", () => {
      this.sign = this.sorted === i ? -this.sign : column.kind === "number" ? -1 : 1;
      this.sorted = i;
      this.fill();
    });
  }

  /** @param {HTMLElement} place
   * @returns {HTMLButtonElement} */
  makeMore(place) {
    const more = place.appendChild(document.createElement("button"));
    more.className = "more";
    more.type = "button";
    more.addEventListener("click", () => {
      this.shown = Infinity;
      this.fill();
    });
    return more;
  }

  /** The rows that all controls leave.
   * @returns {(string | number | null)[][]} */
  matching() {
    const word = this.search ? this.search.value.toLowerCase() : "";
    return this.table.rows.filter((row) => {
      for (const [i, select] of this.filters) {
        if (select.value !== "" && String(row[i]) !== select.value) return false;
      }
      return this.isBelow(row)
        && (!word || row.some((value) => shownValue(value).toLowerCase().includes(word)));
    });
  }

  /** Whether a row is below the limit, where that is asked for.
   * @param {(string | number | null)[]} row
   * @returns {boolean} */
  isBelow(row) {
    if (!this.table.only || !this.only?.checked) return true;
    const value = row[Number(this.index.get(this.table.only.column))];
    return typeof value === "number" && value < this.table.only.below;
  }

  /** Columns that are not shown: what a filter leaves of its column is said by the filter.
   * @returns {Set<number>} */
  hidden() {
    const said = [...this.filters].filter(([, one]) => one.value !== "").map(([i]) => i);
    const never = this.table.columns.flatMap((column, i) => (column.hidden ? [i] : []));
    return new Set([...said, ...never]);
  }

  fill() {
    const { columns, caption } = this.table;
    const rows = this.matching();
    const { sorted, sign } = this;
    if (sorted >= 0) rows.sort((a, b) => compareValues(a[sorted], b[sorted], sign));

    const hidden = this.hidden();
    this.body.replaceChildren(
      ...rows.slice(0, this.shown).map((row) => tableRow(columns, row, hidden)));
    for (const [i, cell] of [...this.head.cells].entries()) {
      cell.hidden = hidden.has(i);
      if (i === sorted) cell.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }

    const visible = Math.min(this.shown, rows.length);
    const number = rows.length === 1 ? "1 row" : `${rows.length} rows`;
    const shown = visible === rows.length ? number : `${visible} of ${number}`;
    const scroll = /** @type {HTMLElement} */ (this.body.closest(".scroll"));
    const hint = scroll.scrollWidth > scroll.clientWidth ? " Scroll sideways for all columns." : "";
    this.count.textContent = `${shown}.${hint} ${caption}`;
    this.more.hidden = rows.length <= this.shown;
    this.more.textContent = `Show all ${number}`;
  }
}

/** A table in a part of the page that scrolls sideways, by keys as well.
 * @param {HTMLElement} place
 * @param {string} label
 * @returns {HTMLTableElement} */
function makeScrolling(place, label) {
  const scroll = place.appendChild(document.createElement("div"));
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", label);
  return scroll.appendChild(document.createElement("table"));
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
