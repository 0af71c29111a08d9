// One image under all methods side by side, as large as the window allows.

const GAP = 12;
const SMALLEST = 160;

class Enlarged {
  constructor(images, dialog) {
    this.images = images;
    this.dialog = dialog;
    this.maps = dialog.querySelector(".maps");
    images.list.addEventListener("click", ({ target }) => this.clicked(target));
    this.maps.addEventListener("click", ({ target }) => this.clickedInside(target));
    // Not of the dialog: a button that becomes disabled loses the focus.
    window.addEventListener("keydown", (event) => dialog.open && this.pressed(event));
    dialog.addEventListener("click", ({ target }) => {
      if (target.name === "step") this.step(Number(target.value));
      if (target.name === "close") dialog.close();
    });
    dialog.addEventListener("close", () => this.closed());
    window.addEventListener("resize", () => dialog.open && this.arrange());
  }

  clicked(target) {
    const place = target.closest(".stack, .enlarge");
    if (!place) return;
    const row = place.closest(".row");
    // The clusters of a method, or all methods.
    const panel = row.unfolded.indexOf(place.closest("details"));
    this.open(row, panel);
  }

  open(row, panel) {
    Object.assign(this, { row, panel, alone: null });
    this.dialog.showModal();
    this.dialog.focus();
    this.fill();
  }

  /** A click on a map shows it beside the image alone, and the next one all of them again. */
  clickedInside(target) {
    const cell = target.closest(".stack")?.parentElement;
    if (!cell) return;
    const index = [...this.maps.children].indexOf(cell);
    this.alone = this.alone === null ? index : null;
    this.arrange();
  }

  pressed(event) {
    if (event.target.type === "range") return;
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const methods = { ArrowUp: -1, ArrowDown: 1 };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key in methods) this.stepAlone(methods[event.key]);
    else return;
    event.preventDefault();
  }

  get shownRows() {
    return [...this.images.list.children].filter((row) => !row.hidden && row.maps);
  }

  step(by) {
    const rows = this.shownRows;
    const next = rows[rows.indexOf(this.row) + by];
    if (!next) return;
    this.row = next;
    this.fill();
  }

  /** From all maps to the first one alone, and so on to the last and all again. */
  stepAlone(by) {
    const n = this.maps.children.length;
    const place = ((this.alone ?? -1) + 1 + by + n + 1) % (n + 1);
    this.alone = place === 0 ? null : place - 1;
    this.arrange();
  }

  fill() {
    const { image } = this.row;
    const { cells } = this.images;
    const clusters = image.clusters[this.panel];
    const rows = this.shownRows;
    this.dialog.querySelector("h2").textContent = image.name;
    const facts = clusters ? [clusters.title, clusters.scale] : [...image.facts, image.scale];
    this.dialog.querySelector(".facts").textContent = facts.filter(Boolean).join(" · ");
    this.dialog.querySelector(".place").textContent =
      `${rows.indexOf(this.row) + 1} of ${rows.length}`;
    this.dialog.querySelector("[value='-1']").disabled = this.row === rows[0];
    this.dialog.querySelector("[value='1']").disabled = this.row === rows.at(-1);
    const made = clusters
      ? [cells.makeInput(image), ...cells.ofClusters(image, clusters, "enlarged")]
      : cells.ofMethods(image, "enlarged");
    this.maps.replaceChildren(...made);
    cells.showValues(image, this.dialog);
    if (this.alone >= made.length) this.alone = null;
    this.arrange();
  }

  /** Chooses the number of columns with which the pictures are largest. */
  arrange() {
    const cells = [...this.maps.children];
    const hasInput = this.row.image.picture !== null;
    cells.forEach((cell, i) => {
      cell.hidden = this.alone !== null && i !== this.alone && !(hasInput && i === 0);
    });
    const seen = cells.filter((cell) => !cell.hidden);
    const { width, height } = this.row.image;
    const room = { x: this.maps.clientWidth, y: this.maps.clientHeight };
    let best = { side: 0, columns: 1 };
    // Captions are wrapped in narrow columns, so the largest is taken for all.
    const caption = Math.max(...seen.map((cell) => cell.lastChild.offsetHeight)) + 4;
    for (let columns = 1; columns <= seen.length; columns++) {
      const rows = Math.ceil(seen.length / columns);
      const byWidth = (room.x - (columns - 1) * GAP) / columns;
      const byHeight = ((room.y - (rows - 1) * GAP) / rows - caption) * (width / height);
      const side = Math.min(byWidth, byHeight);
      if (side > best.side) best = { side, columns };
    }
    const side = Math.floor(Math.min(Math.max(best.side, SMALLEST), room.x));
    const columns = Math.max(best.columns, Math.floor((room.x + GAP) / (side + GAP)));
    this.maps.style.gridTemplateColumns = `repeat(${Math.min(columns, seen.length)}, ${side}px)`;
  }

  closed() {
    this.maps.replaceChildren();
    this.row.enlarge.scrollIntoView({ block: "nearest" });
    this.row.enlarge.focus();
  }
}
