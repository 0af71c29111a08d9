// Images and their maps. Only rows near the window hold pictures.

const SVG = "http://www.w3.org/2000/svg";
// Time for drawing in each frame, so that scrolling stays smooth.
const MILLISECONDS = 8;
const NEAR = "800px";

/** An element with attributes and children; texts are never taken for HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A name that a narrow column may break where a word starts: Clustered|Layer|CAM. */
function breakable(name) {
  const words = name.split(/(?<=[a-z])(?=[A-Z])/);
  return words.flatMap((word, i) => (i === 0 ? [word] : [document.createElement("wbr"), word]));
}

/** A number as it is read. */
function shown(value) {
  if (value === null) return "–";
  const isTiny = value !== 0 && Math.abs(value) < 1e-4;
  const text = isTiny ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}

/** A map's range in words. */
function rangeOf(map) {
  if (map.low === 0 && map.high === 0) return "zero everywhere";
  return `${shown(map.low)} to ${shown(map.high)}`;
}

/** The list of images. */
class Images {
  constructor(page, list) {
    this.page = page;
    this.list = list;
    this.palette = new Uint32Array(decoded(page.palette).buffer);
    this.number = null;
    this.tasks = [];
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
    if (image.picture !== null) row.append((row.maps = element("div", { class: "maps" })));
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
    for (const { target, isIntersecting } of entries) {
      target.isNear = isIntersecting;
      if (!target.maps) continue;
      if (!isIntersecting) this.empty(target);
      else if (!target.maps.firstChild) this.fill(target);
    }
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

  empty(row) {
    if (row.maps.firstChild) row.maps.style.minHeight = `${row.maps.offsetHeight}px`;
    row.maps.replaceChildren();
    for (const { open, maps } of row.unfolded) {
      if (maps.firstChild) maps.style.minHeight = open ? `${maps.offsetHeight}px` : "";
      maps.replaceChildren();
    }
  }

  fill(row) {
    const { image } = row;
    row.maps.style.minHeight = "0";
    const cells = image.maps.map((map, i) => this.makeMethod(row, map, i));
    row.maps.replaceChildren(this.makeInput(row), ...cells);
    this.showValues(row);
    row.unfolded.forEach((details) => this.fillClusters(row, details));
  }

  fillClusters(row, details) {
    const { open, clusters, maps } = details;
    if (!row.isNear || !open || maps.firstChild) return;
    maps.style.minHeight = "";
    const cells = clusters.importances.map((importance, i) => {
      const channels = `${clusters.sizes[i]} channel${clusters.sizes[i] === 1 ? "" : "s"}`;
      const caption = [
        element("span", { class: "name" }, importance),
        element("span", { class: "range" }, channels),
      ];
      const [low, high] = clusters.ranges[i];
      const { height, width } = clusters;
      const map = { height, width, low, high, values: clusters.values[i] };
      return this.makeCell(row, map, `Cluster ${importance}, ${channels}`, caption);
    });
    maps.replaceChildren(...cells);
  }

  makeInput(row) {
    const stack = this.makeStack(row, element("img", { alt: `${row.image.name}, the image` }));
    const name = element("span", { class: "name" }, "image");
    return element("figure", {}, stack, element("figcaption", {}, name));
  }

  makeMethod(row, map, i) {
    const method = this.page.methods[i];
    const caption = [element("span", { class: "name" }, ...breakable(method.name))];
    if (method.is_control) caption.push(element("span", { class: "range" }, "control"));
    caption.push(element("span", { class: "value" }));
    const cell = this.makeCell(row, map, method.name, caption);
    if (method.is_control) cell.classList.add("control");
    return cell;
  }

  makeCell(row, map, name, caption) {
    if (map.reason !== undefined) {
      const place = element("div", { class: "failed" }, `failed: ${map.reason}`);
      return element("figure", {}, place, element("figcaption", {}, ...caption));
    }
    const range = rangeOf(map);
    const canvas = element("canvas", {
      width: row.image.width,
      height: row.image.height,
      role: "img",
      "aria-label": `${name}: ${range}`,
    });
    this.later(() => canvas.isConnected && drawMap(canvas, map, this.palette));
    const stack = this.makeStack(row, element("img", { alt: "", class: "backdrop" }), canvas);
    caption.push(element("span", { class: "range" }, range));
    return element("figure", {}, stack, element("figcaption", {}, ...caption));
  }

  /** A picture with what lies over it. */
  makeStack(row, picture, ...above) {
    const { image } = row;
    picture.src = `data:image/webp;base64,${image.picture}`;
    picture.width = image.width;
    picture.height = image.height;
    const stack = element("div", { class: "stack" }, picture, ...above);
    stack.style.aspectRatio = `${image.width} / ${image.height}`;
    if (image.mask !== null) stack.append(this.makeOutline(row));
    return stack;
  }

  makeOutline(row) {
    const { mask, width, height } = row.image;
    row.outline ??= outline(mask, height, width);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
    for (const kind of ["halo", "line"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", row.outline);
      svg.append(path);
    }
    return svg;
  }

  /** Which number stands below each method's map, or null. */
  choose(number) {
    this.number = number;
    this.rows.forEach((row) => this.showValues(row));
  }

  showValues(row) {
    const number = this.number === null ? null : this.page.numbers[this.number];
    const values = row.maps ? row.maps.querySelectorAll(".value") : [];
    values.forEach((place, i) => {
      const has = number !== null && number.by_method;
      place.textContent = has ? `${number.name}: ${shown(row.image.values[this.number][i])}` : "";
    });
  }

  later(task) {
    this.tasks.push(task);
    if (this.tasks.length === 1) requestAnimationFrame(() => this.work());
  }

  work() {
    const end = performance.now() + MILLISECONDS;
    let done = 0;
    while (done < this.tasks.length && performance.now() < end) this.tasks[done++]();
    this.tasks.splice(0, done);
    if (this.tasks.length) requestAnimationFrame(() => this.work());
  }
}
