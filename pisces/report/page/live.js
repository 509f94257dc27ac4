// @ts-check
// Pixels painted away, where `python -m pisces explore` serves the page with the model behind it.

/** Paints pixels of the frame that an explorer shows, and asks the model. */
class Painter {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.asked = 0;
    this.waiting = false;
    /** @param {string} id */
    const input = (id) => /** @type {HTMLInputElement} */ (document.getElementById(id));
    this.on = input("paint-on");
    this.size = input("paint-size");
    this.on.addEventListener("change", () => explorer.draw());
    document.getElementById("paint-clear")?.addEventListener("click", () => {
      explorer.painted.clear();
      explorer.draw();
    });
    const controls = document.getElementById("paint");
    if (controls) controls.hidden = false;
  }

  isOn() {
    return this.on.checked;
  }

  /** Takes the lit pixels under the brush.
   * @param {number} view
   * @param {number} pixel */
  paint(view, pixel) {
    const { size } = this.explorer.about;
    const reach = Math.floor(Number(this.size.value) / 2);
    const lit = new Set(this.explorer.prepared.litOf(this.explorer.frame));
    for (let down = -reach; down <= reach; down++) {
      for (let across = -reach; across <= reach; across++) {
        const row = Math.floor(pixel / size) + down;
        const column = (pixel % size) + across;
        if (row < 0 || column < 0 || row >= size || column >= size) continue;
        const number = (view * size + row) * size + column;
        if (lit.has(number)) this.explorer.painted.add(number);
      }
    }
    this.explorer.draw();
  }

  /** Asks the model about the frame without what is painted; one question at a time.
   * @param {number} taken */
  async answer(taken) {
    this.asked += 1;
    if (this.waiting) return;
    this.waiting = true;
    let number;
    do {
      number = this.asked;
      await this.ask(taken);
      taken = this.explorer.painted.size;
    } while (number !== this.asked);
    this.waiting = false;
  }

  /** @param {number} taken */
  async ask(taken) {
    const { explorer } = this;
    const frame = explorer.frame;
    const began = performance.now();
    try {
      const reply = await fetch("answer", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          frame: explorer.about.frames[frame].index,
          pixels: [...explorer.painted],
        }),
      });
      const answer = await reply.json();
      if (!reply.ok) throw new Error(answer.error);
      if (explorer.frame !== frame || !this.isOn()) return;
      const words = taken ? `Without ${taken} painted pixels` : "As it is";
      explorer.tell(answer, words, taken ? "without" : "");
      explorer.say(`The model answered in ${Math.round(performance.now() - began)} ms.`, "overall");
    } catch (error) {
      explorer.say(`The model does not answer: ${error instanceof Error ? error.message : error}`);
    }
  }
}
