// The list of images. Only rows near the window hold pictures.

const NEAR = "800px";

/** The list of images. */
class Images {
  constructor(page, list) {
    this.cells = new Cells(page);
    this.list = list;
    list.classList.toggle("gallery", page.methods.length === 1);
    this.rows = page.images.map((image) => this.makeRow(image));
    list.append(...this.rows);
    this.observer = new IntersectionObserver((entries) => this.moved(entries), {
      rootMargin: NEAR,
    });
    this.rows.forEach((row) => this.observer.observe(row));
    window.addEventListener("resize", () => this.resized());
  }

  makeRow(image) {
    const row = element("li", { class: "row" });
    row.image = image;
    row.append(
      element("h3", {}, image.name),
      element("p", {}, image.facts.join(" · ")),
    );
    if (image.scale) row.append(element("p", {}, image.scale));
    row.append(element("p", { class: "of-image" }));
    if (image.maps.length > 0) {
      const label = `Enlarge ${image.name}`;
      row.enlarge = element("button", { class: "enlarge", type: "button", "aria-label": label });
      row.enlarge.append("Enlarge");
      row.append(row.enlarge, (row.maps = element("div", { class: "maps" })));
    }
    row.unfolded = image.clusters.map((clusters) => this.makeClusters(row, clusters));
    row.append(...row.unfolded);
    return row;
  }

  makeClusters(row, clusters) {
    const details = element(
      "details",
      {},
      element("summary", {}, clusters.title),
      element("p", {}, clusters.scale),
    );
    details.clusters = clusters;
    details.append((details.maps = element("div", { class: "maps" })));
    details.addEventListener("toggle", () => this.fillClusters(row, details));
    return details;
  }

  /** Rows have come near the window, or have left it. */
  moved(entries) {
    for (const { target, isIntersecting } of entries) target.isNear = isIntersecting;
    const rows = entries.map(({ target }) => target).filter((row) => row.maps);
    this.empty(rows.filter((row) => !row.isNear));
    rows.filter((row) => row.isNear && !row.maps.firstChild).forEach((row) => this.fill(row));
    this.measure();
  }

  /** How high a row is, for those that are still empty. */
  measure() {
    const filled = this.rows.find((row) => row.maps && row.maps.firstChild && !row.hidden);
    if (!filled) return;
    // Its own height must not be what an emptied one was given.
    filled.maps.style.minHeight = "0";
    this.list.style.setProperty("--maps-height", `${filled.maps.offsetHeight}px`);
  }

  /** The heights that emptied rows had are those of another width. */
  resized() {
    for (const row of this.rows) {
      if (row.maps && !row.maps.firstChild) row.maps.style.minHeight = "";
    }
    this.measure();
  }

  empty(rows) {
    const places = rows.flatMap((row) => [row.maps, ...row.unfolded.map(({ maps }) => maps)]);
    const filled = places.filter((maps) => maps.firstChild);
    // What is read below must not jump. All heights are read before anything changes.
    const heights = filled.map((maps) => maps.offsetHeight);
    filled.forEach((maps, i) => {
      maps.style.minHeight = heights[i] ? `${heights[i]}px` : "";
      maps.replaceChildren();
    });
    rows.forEach((row) => (row.image.decoded = row.image.grays = undefined));
  }

  fill(row) {
    row.maps.style.minHeight = "0";
    row.maps.replaceChildren(...this.cells.ofMethods(row.image, this.side));
    this.cells.showValues(row.image, row.maps);
    row.unfolded.forEach((details) => this.fillClusters(row, details));
  }

  fillClusters(row, details) {
    const { open, clusters, maps } = details;
    if (!(row.isNear || this.cells.isPrinting) || !open || maps.firstChild) return;
    maps.style.minHeight = "";
    maps.replaceChildren(...this.cells.ofClusters(row.image, clusters, this.side));
  }

  /** Which number stands below each method's map, or null. */
  choose(number) {
    this.cells.number = number;
    this.rows.forEach((row) => this.cells.showValues(row.image, row));
  }

  get side() {
    return this.cells.isPrinting ? "printed" : "listed";
  }

  /** Fills all rows that are not hidden, at once. */
  print() {
    this.cells.isPrinting = true;
    for (const row of this.rows) {
      if (row.hidden || !row.maps) continue;
      if (!row.maps.firstChild) this.fill(row);
      row.unfolded.forEach((details) => this.fillClusters(row, details));
    }
    // What waits for its frame.
    this.cells.tasks.splice(0).forEach((task) => this.cells.later(task));
  }

  printed() {
    this.cells.isPrinting = false;
    this.empty(this.rows.filter((row) => row.maps && !row.isNear));
  }
}
