// @ts-check
// The explorer: frames of the test part, what can be taken of them, and what the model says then.

/**
 * @typedef {{ view: string, rule: string, name: string, label: string, level: number | null }}
 *   Choice
 * @typedef {{ modulation: number, snr: number, row: number, index: number[], lit: number,
 *   offset: number, takenOffset: number }} Frame
 * @typedef {{ modulation: ArrayLike<number>, snr: ArrayLike<number> }} Answer
 * @typedef {{ frames: Frame[], choices: Choice[], families: { rule: string, label: string }[],
 *   maps: string[], views: { name: string, caption: string }[], size: number,
 *   modulations: string[], snrs: string[], sections: Record<string, [number, number]>,
 *   palettes: { bright: string[], signed: string[], masked: string, gone: string,
 *     arrived: string, dark: string },
 *   told: string[][], overall: (string | null)[] }} Explored
 */

const NOTHING = -1;
/** Of a probability as it is stored. */
const WHOLE = 1000;

/** Bytes of base64 of gzip.
 * @param {string} text
 * @returns {Promise<ArrayBuffer>} */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** What the pipeline prepared, by frame and choice. */
class Prepared {
  /** @param {Explored} about
   * @param {ArrayBuffer} bytes */
  constructor(about, bytes) {
    this.about = about;
    /** @param {string} name */
    const section = (name) => about.sections[name];
    this.lit = new Uint32Array(bytes, ...section("lit"));
    this.counts = new Uint16Array(bytes, ...section("counts"));
    this.modulation = new Uint16Array(bytes, ...section("modulation"));
    this.snr = new Uint16Array(bytes, ...section("snr"));
    this.maps = new Int8Array(bytes, ...section("maps"));
    this.taken = new Uint8Array(bytes, ...section("taken"));
    this.arrived = new Uint32Array(bytes, ...section("arrived"));
    this.arrivedFrom = new Uint32Array(bytes, ...section("arrivedFrom"));
  }

  /** Numbers of the lit pixels of a frame, counted on through the views.
   * @param {number} frame */
  litOf(frame) {
    const { offset, lit } = this.about.frames[frame];
    return this.lit.subarray(offset, offset + lit);
  }

  /** Points in these pixels.
   * @param {number} frame */
  countsOf(frame) {
    const { offset, lit } = this.about.frames[frame];
    return this.counts.subarray(offset, offset + lit);
  }

  /** Scores of these pixels by one attribution, -127 to 127.
   * @param {number} frame
   * @param {number} map */
  mapOf(frame, map) {
    const { offset, lit } = this.about.frames[frame];
    const start = offset * this.about.maps.length + map * lit;
    return this.maps.subarray(start, start + lit);
  }

  /** Whether a choice takes the i-th lit pixel of a frame.
   * @param {number} frame
   * @param {number} choice
   * @param {number} i */
  takes(frame, choice, i) {
    const { lit, takenOffset } = this.about.frames[frame];
    const start = takenOffset + choice * Math.ceil(lit / 8);
    return ((this.taken[start + (i >> 3)] >> (7 - (i & 7))) & 1) === 1;
  }

  /** Which of the choices that move symbols it is; negative where it takes pixels away.
   * @param {number} choice */
  moveOf(choice) {
    const moves = this.about.told[0]?.length ?? 0;
    return choice - (this.about.choices.length - moves);
  }

  /** Pixels in which symbols of a frame arrive by a choice, counted on through the views.
   * @param {number} frame
   * @param {number} choice */
  arrivals(frame, choice) {
    const move = this.moveOf(choice);
    if (move < 0) return new Uint32Array();
    const place = frame * this.about.told[frame].length + move;
    return this.arrived.subarray(this.arrivedFrom[place], this.arrivedFrom[place + 1]);
  }

  /** What the model says of a frame without a choice, as shares of 1.
   * @param {number} frame
   * @param {number} choice
   * @returns {Answer} */
  answer(frame, choice) {
    const place = frame * (this.about.choices.length + 1) + choice + 1;
    /** @param {Uint16Array} all
     * @param {number} classes */
    const row = (all, classes) =>
      Array.from(all.subarray(place * classes, (place + 1) * classes), (value) => value / WHOLE);
    return {
      modulation: row(this.modulation, this.about.modulations.length),
      snr: row(this.snr, this.about.snrs.length),
    };
  }
}

/** The controls, pictures and answers of the explorer. */
class Explorer {
  /** @param {Prepared} prepared */
  constructor(prepared) {
    this.prepared = prepared;
    this.about = prepared.about;
    this.frame = 0;
    this.choice = NOTHING;
    /** @type {Set<number>} */
    this.painted = new Set();
    /** @type {Painter | null} */
    this.painter = null;
    this.cursor = { view: -1, pixel: 0 };

    /** @param {string} id */
    const select = (id) => /** @type {HTMLSelectElement} */ (document.getElementById(id));
    this.modulation = select("frame-modulation");
    this.snr = select("frame-snr");
    this.number = select("frame-number");
    this.family = select("set-family");
    this.view = select("set-view");
    this.name = select("set-name");
    this.level = select("set-level");
    this.map = select("map-name");
    this.canvases = this.about.views.map((view, i) => this.makeCanvas(view, i));
    this.fillSelects();
  }

  fillSelects() {
    const { frames, modulations, snrs, families, maps } = this.about;
    const known = new Set(frames.map((frame) => frame.modulation));
    setOptions(this.modulation, [...known].map((m) => ({ value: m, label: modulations[m] })));
    const labels = new Set(frames.map((frame) => frame.snr));
    const rising = [...labels].sort((a, b) => a - b);
    setOptions(this.snr, rising.map((s) => ({ value: s, label: snrs[s] })));
    this.snr.value = String(rising[Math.floor(rising.length / 2)]);
    // Where pointing at a picture finds something at once.
    const regions = families.filter(({ rule }) => rule === "ring" || rule === "window");
    setOptions(this.family, families.map(({ rule, label }) => ({ value: rule, label })));
    if (regions.length) this.family.value = regions[0].rule;
    setOptions(this.map, [{ value: NOTHING, label: "none" },
      ...maps.map((label, value) => ({ value, label }))]);

    this.modulation.addEventListener("change", () => this.pick());
    this.snr.addEventListener("change", () => this.pick());
    this.number.addEventListener("change", () => this.show(Number(this.number.value)));
    this.family.addEventListener("change", () => this.fillSets());
    this.view.addEventListener("change", () => this.fillNames());
    this.name.addEventListener("change", () => this.fillLevels());
    this.level.addEventListener("change", () => this.choose(Number(this.level.value)));
    this.map.addEventListener("change", () => this.draw());
    this.fillSets();
    this.pick();
  }

  /** Shows the first frame of the chosen modulation and SNR. */
  pick() {
    const found = this.about.frames.map((frame, i) => ({ frame, i })).filter(({ frame }) =>
      String(frame.modulation) === this.modulation.value && String(frame.snr) === this.snr.value);
    setOptions(this.number, found.map(({ frame, i }) => ({ value: i, label: `row ${frame.row}` })));
    this.number.disabled = found.length < 2;
    if (found.length) this.show(found[0].i);
    else this.say("The page holds no frame of this modulation at this SNR.");
  }

  /** @param {number} frame */
  show(frame) {
    this.frame = frame;
    this.painted.clear();
    this.draw();
  }

  // Which set of pixels

  /** Choices of the chosen family, with their numbers. */
  ofFamily() {
    return this.about.choices.map((choice, i) => ({ choice, i }))
      .filter(({ choice }) => choice.rule === this.family.value);
  }

  fillSets() {
    const views = [...new Set(this.ofFamily().map(({ choice }) => choice.view))];
    setOptions(this.view, views.map((view) => ({ value: view, label: view })));
    this.fillNames();
  }

  fillNames() {
    const ofView = this.ofFamily().filter(({ choice }) => choice.view === this.view.value);
    const names = new Map(ofView.map(({ choice }) => [choice.name, choice.label]));
    setOptions(this.name, [{ value: "", label: "nothing" },
      ...[...names].map(([value, label]) => ({ value, label }))]);
    this.fillLevels();
  }

  fillLevels() {
    const found = this.ofFamily().filter(({ choice }) =>
      choice.view === this.view.value && choice.name === this.name.value);
    const before = this.about.choices[Number(this.level.value)]?.level;
    setOptions(this.level, found.map(({ choice, i }) => ({
      value: i, label: choice.level === null ? "whole" : `${choice.level} % of the lit pixels`,
    })));
    const same = found.find(({ choice }) => choice.level !== null && choice.level === before);
    if (same) this.level.value = String(same.i);
    this.level.disabled = found.length < 2;
    this.choose(found.length ? Number(this.level.value) : NOTHING);
  }

  /** @param {number} choice */
  choose(choice) {
    this.choice = choice;
    this.draw();
  }

  /** Shows in the selects which choice it is.
   * @param {number} number */
  pin(number) {
    const choice = this.about.choices[number];
    this.view.value = choice.view;
    this.fillNames();
    this.name.value = choice.name;
    this.fillLevels();
    this.level.value = String(number);
    this.choose(number);
  }

  // Pictures

  /** @param {{ name: string, caption: string }} view
   * @param {number} place
   * @returns {HTMLCanvasElement} */
  makeCanvas(view, place) {
    const figure = document.createElement("figure");
    const canvas = figure.appendChild(document.createElement("canvas"));
    canvas.width = canvas.height = this.about.size;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Constellation, view ${view.name}`);
    figure.appendChild(document.createElement("figcaption")).textContent = view.caption;
    document.getElementById("views")?.append(figure);

    canvas.addEventListener("pointermove", (event) => this.point(event, canvas, place));
    canvas.addEventListener("pointerdown", (event) => {
      if (this.painter?.isOn()) canvas.setPointerCapture(event.pointerId);
      this.point(event, canvas, place, true);
    });
    canvas.addEventListener("pointerleave", () => this.draw());
    canvas.addEventListener("keydown", (event) => this.key(event, place));
    canvas.addEventListener("blur", () => { this.cursor.view = -1; this.draw(); });
    return canvas;
  }

  /** What the pointer is over: shown while it is, and kept by a click.
   * @param {PointerEvent} event
   * @param {HTMLCanvasElement} canvas
   * @param {number} view
   * @param {boolean} clicked */
  point(event, canvas, view, clicked = false) {
    const { size } = this.about;
    const box = canvas.getBoundingClientRect();
    /** @param {number} share */
    const inside = (share) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    const pixel = inside((event.clientY - box.top) / box.height) * size
      + inside((event.clientX - box.left) / box.width);
    if (this.painter?.isOn()) {
      if (event.buttons) this.painter.paint(view, pixel);
      return;
    }
    const found = this.under(view, pixel);
    if (found === NOTHING) return;
    if (clicked) this.pin(found);
    else this.draw(found);
  }

  /** @param {KeyboardEvent} event
   * @param {number} view */
  key(event, view) {
    const { size } = this.about;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (!step && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (this.cursor.view !== view) {
      this.cursor = { view, pixel: (size / 2) * size + size / 2 };
    } else if (step) {
      const column = Math.min(size - 1, Math.max(0, (this.cursor.pixel % size) + step[0]));
      const row = Math.min(size - 1, Math.max(0, Math.floor(this.cursor.pixel / size) + step[1]));
      this.cursor.pixel = row * size + column;
    }
    const painting = this.painter?.isOn();
    const found = painting ? NOTHING : this.under(view, this.cursor.pixel);
    if (step) this.draw(found === NOTHING ? this.choice : found);
    else if (painting) this.painter?.paint(view, this.cursor.pixel);
    else if (found !== NOTHING) this.pin(found);
  }

  /** The smallest choice of the chosen family that takes the lit pixel nearest to a pixel.
   * @param {number} view
   * @param {number} pixel
   * @returns {number} */
  under(view, pixel) {
    const { size, choices, views } = this.about;
    const lit = this.prepared.litOf(this.frame);
    const first = view * size * size;
    let nearest = -1;
    let least = Infinity;
    for (let i = 0; i < lit.length; i++) {
      const at = lit[i] - first;
      if (at < 0 || at >= size * size) continue;
      const across = (at % size) - (pixel % size);
      const down = Math.floor(at / size) - Math.floor(pixel / size);
      const distance = across * across + down * down;
      if (distance < least) [nearest, least] = [i, distance];
    }
    if (nearest < 0) return NOTHING;

    let best = NOTHING;
    for (const { choice, i } of this.ofFamily()) {
      const inView = choice.view === views[view].name || choice.view === "all";
      const named = choice.level === null || !this.name.value || choice.name === this.name.value;
      if (!inView || !named || !this.prepared.takes(this.frame, i, nearest)) continue;
      if (best === NOTHING || (choice.level ?? 0) < (choices[best].level ?? 0)) best = i;
    }
    return best;
  }

  /** Draws the frame without a choice, and what the model says then.
   * @param {number} choice */
  draw(choice = this.choice) {
    const { size, palettes } = this.about;
    const lit = this.prepared.litOf(this.frame);
    const counts = this.prepared.countsOf(this.frame);
    const map = Number(this.map.value);
    const scores = map >= 0 ? this.prepared.mapOf(this.frame, map) : null;
    const painting = this.painter?.isOn() ?? false;
    const arrivals = painting ? [] : this.prepared.arrivals(this.frame, choice);

    let taken = 0;
    for (const [view, canvas] of this.canvases.entries()) {
      const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      context.fillStyle = palettes.dark;
      context.fillRect(0, 0, size, size);
      const first = view * size * size;
      let brightest = 1;
      for (let i = 0; i < lit.length; i++) {
        const at = lit[i] - first;
        if (at >= 0 && at < size * size) brightest = Math.max(brightest, counts[i]);
      }
      for (let i = 0; i < lit.length; i++) {
        const at = lit[i] - first;
        if (at < 0 || at >= size * size) continue;
        const goes = painting
          ? this.painted.has(lit[i])
          : choice !== NOTHING && this.prepared.takes(this.frame, choice, i);
        taken += Number(goes);
        if (goes) context.fillStyle = scores ? palettes.gone : palettes.masked;
        else if (scores) context.fillStyle = palettes.signed[scores[i] + 127];
        else context.fillStyle = palettes.bright[brightness(counts[i] / brightest)];
        context.fillRect(at % size, Math.floor(at / size), 1, 1);
      }
      context.fillStyle = palettes.arrived;
      for (const number of arrivals) {
        const at = number - first;
        if (at >= 0 && at < size * size) context.fillRect(at % size, Math.floor(at / size), 1, 1);
      }
      if (this.cursor.view === view) {
        context.strokeStyle = palettes.masked;
        context.lineWidth = 0.5;
        const at = this.cursor.pixel;
        context.strokeRect((at % size) - 1, Math.floor(at / size) - 1, 3, 3);
      }
    }
    if (painting) {
      this.painter?.answer(taken);
      return;
    }
    const how = this.prepared.moveOf(choice) < 0 ? "without" : "moved";
    const changed = taken || arrivals.length ? how : "";
    this.tell(this.prepared.answer(this.frame, choice), this.words(choice, taken), changed);
    const overall = choice !== NOTHING ? this.about.overall[choice] : null;
    this.say(overall ?? "", "overall");
  }

  /** What is taken, in words.
   * @param {number} choice
   * @param {number} taken
   * @returns {string} */
  words(choice, taken) {
    if (choice === NOTHING) return "As it is";
    const { rule, label, level, view } = this.about.choices[choice];
    const move = this.prepared.moveOf(choice);
    if (move >= 0) return this.about.told[this.frame][move];
    const family = this.about.families.find((one) => one.rule === rule)?.label ?? rule;
    const share = level === null ? "" : `, ${level} %`;
    const where = view === "all" ? "all views" : `the view ${view}`;
    const lit = this.litIn(view);
    return `Without ${family.toLowerCase()} ${label}${share} of ${where} `
      + `(${taken} of ${lit} lit pixels)`;
  }

  /** How many lit pixels the frame has in a view, or in all.
   * @param {string} view
   * @returns {number} */
  litIn(view) {
    const { size, views } = this.about;
    const lit = this.prepared.litOf(this.frame);
    if (view === "all") return lit.length;
    const place = views.findIndex((one) => one.name === view);
    return lit.filter((number) => Math.floor(number / (size * size)) === place).length;
  }

  // Answers

  /** Says what the model says, before and after.
   * @param {Answer} after
   * @param {string} words
   * @param {string} changed how the frame is changed, in a word; empty where it is not */
  tell(after, words, changed) {
    const { modulations, snrs, frames } = this.about;
    const before = this.prepared.answer(this.frame, NOTHING);
    const truth = frames[this.frame];
    const said = (/** @type {Answer} */ one) => {
      const [m, s] = [likeliest(one.modulation), likeliest(one.snr)];
      return `${modulations[m]} with ${percent(one.modulation[m])} `
        + `and ${snrs[s]} with ${percent(one.snr[s])}`;
    };
    const was = changed ? ` As it is: ${said(before)}.` : "";
    const is = `It is ${modulations[truth.modulation]} at ${snrs[truth.snr]}.`;
    this.say(`${words}, the model says ${said(after)}.${was} ${is}`);

    const place = document.getElementById("answers");
    /** @param {"modulation" | "snr"} head
     * @param {string} title
     * @param {string[]} names */
    const part = (head, title, names) =>
      bars(title, names, before[head], after[head], truth[head], changed);
    place?.replaceChildren(part("modulation", "Modulation", modulations), part("snr", "SNR", snrs));
  }

  /** @param {string} text
   * @param {string} id */
  say(text, id = "says") {
    const place = document.getElementById(id);
    if (place) place.textContent = text;
  }
}

/** Which shade a share of the brightest pixel has: by its root, or single points are not seen.
 * @param {number} share
 * @returns {number} */
function brightness(share) {
  return Math.round(255 * Math.sqrt(share));
}

/** @param {ArrayLike<number>} shares
 * @returns {number} */
function likeliest(shares) {
  let best = 0;
  for (let i = 1; i < shares.length; i++) if (shares[i] > shares[best]) best = i;
  return best;
}

/** @param {number} share
 * @returns {string} */
function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`; // which no line breaks
}

/** Bars of the likeliest classes, before and after.
 * @param {string} title
 * @param {string[]} names
 * @param {ArrayLike<number>} before
 * @param {ArrayLike<number>} after
 * @param {number} truth
 * @param {string} changed how the frame is changed, in a word; empty where it is not
 * @returns {HTMLElement} */
function bars(title, names, before, after, truth, changed) {
  const part = document.createElement("div");
  part.appendChild(document.createElement("h3")).textContent = title;
  const key = part.appendChild(document.createElement("p"));
  key.className = "quiet";
  for (const [text, kind] of changed ? [["as it is ", "key"], [changed, "key without"]]
    : [["as it is", "key"]]) {
    const entry = key.appendChild(document.createElement("span"));
    entry.className = kind;
    entry.textContent = text;
  }
  const grid = part.appendChild(document.createElement("div"));
  grid.className = "bars";
  const larger = names.map((_, i) => Math.max(before[i], after[i]));
  const order = names.map((_, i) => i).sort((a, b) => larger[b] - larger[a]).slice(0, 5);
  for (const i of order) {
    const name = grid.appendChild(document.createElement("span"));
    name.textContent = i === truth ? `${names[i]} ✓` : names[i];
    if (i === truth) name.title = "what it is";
    const bar = grid.appendChild(document.createElement("div"));
    bar.className = "bar";
    bar.appendChild(document.createElement("i")).style.width = `${100 * before[i]}%`;
    const value = grid.appendChild(document.createElement("span"));
    value.textContent = percent(before[i]);
    if (changed) {
      const without = bar.appendChild(document.createElement("i"));
      without.className = "without";
      without.style.width = `${100 * after[i]}%`;
      value.textContent += ` → ${percent(after[i])}`;
    }
  }
  return part;
}
