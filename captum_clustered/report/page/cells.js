// Pictures with maps over them, and their captions.

const SVG = "http://www.w3.org/2000/svg";
// Time for drawing in each frame, so that scrolling stays smooth.
const MILLISECONDS = 8;
// Longest side of a drawn map in the list, on paper and enlarged, in pixels. The browser smooths
// what is shown larger; a page on paper has all maps in memory at the same time.
const SIDES = { listed: 224, printed: 112, enlarged: 448 };

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

function sourceOf(image) {
  return `data:image/webp;base64,${image.picture}`;
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

/** Makes pictures, maps and their captions. */
class Cells {
  constructor(page) {
    this.page = page;
    this.colors = new Colors(page.tint);
    this.number = null;
    this.tasks = [];
    this.isPrinting = false;
  }

  /** The image and the map of each method. */
  ofMethods(image, side) {
    const cells = image.maps.map((map, i) => this.makeMethod(image, map, i, side));
    return image.picture === null ? cells : [this.makeInput(image), ...cells];
  }

  ofClusters(image, clusters, side) {
    return clusters.importances.map((importance, i) => {
      const channels = `${clusters.sizes[i]} channel${clusters.sizes[i] === 1 ? "" : "s"}`;
      const caption = [
        element("span", { class: "name" }, importance),
        element("span", { class: "range" }, channels),
      ];
      const [low, high] = clusters.ranges[i];
      const { height, width } = clusters;
      const map = { height, width, low, high, values: clusters.values[i] };
      return this.makeCell(image, map, `Cluster ${importance}, ${channels}`, caption, side);
    });
  }

  makeInput(image) {
    const stack = this.makeStack(image, { alt: `${image.name}, the image` });
    const name = element("span", { class: "name" }, "image");
    return element("figure", {}, stack, element("figcaption", {}, name));
  }

  makeMethod(image, map, i, side) {
    const method = this.page.methods[i];
    const caption = [element("span", { class: "name" }, ...breakable(method.name))];
    if (method.is_control) caption.push(element("span", { class: "range" }, "control"));
    caption.push(element("span", { class: "value" }));
    const cell = this.makeCell(image, map, method.name, caption, side);
    if (method.is_control) cell.classList.add("control");
    return cell;
  }

  makeCell(image, map, name, caption, side) {
    if (map.reason !== undefined) {
      const place = element("div", { class: "failed" }, `failed: ${map.reason}`);
      return element("figure", {}, place, element("figcaption", {}, ...caption));
    }
    const range = rangeOf(map);
    const scale = Math.min(1, SIDES[side] / Math.max(image.width, image.height));
    const canvas = element("canvas", {
      width: Math.max(1, Math.round(scale * image.width)),
      height: Math.max(1, Math.round(scale * image.height)),
      role: "img",
      "aria-label": `${name}: ${range}`,
    });
    if (image.picture !== null) image.decoded ??= element("img", { src: sourceOf(image) });
    const picture = image.decoded ?? null;
    this.later(() => this.draw(canvas, image, picture, map));
    const stack = this.makeStack(image, { alt: "" }, canvas);
    caption.push(element("span", { class: "range" }, range));
    return element("figure", {}, stack, element("figcaption", {}, ...caption));
  }

  /** Draws a map over its image, once that is decoded. */
  draw(canvas, image, picture, map) {
    if (!this.isPrinting && !canvas.isConnected) return;
    const isThere = picture === null || picture.complete;
    // Paper does not wait.
    if (!isThere && !this.isPrinting) {
      return this.later(() => this.draw(canvas, image, picture, map));
    }
    const { height, width } = canvas;
    image.grays ??= {};
    image.grays[width] ??= backdrop(isThere ? picture : null, height, width, this.page.tint);
    drawMap(canvas, map, image.seen, image.grays[width], this.colors);
  }

  /** A picture, if there is one, with what lies over it. */
  makeStack(image, attributes, ...above) {
    const { picture, width, height } = image;
    const stack = element("div", { class: "stack" });
    if (picture !== null) {
      stack.append(element("img", { ...attributes, src: sourceOf(image), width, height }));
    }
    stack.append(...above);
    stack.style.aspectRatio = `${width} / ${height}`;
    if (image.mask !== null) stack.append(this.makeOutline(image));
    return stack;
  }

  makeOutline(image) {
    const { mask, width, height } = image;
    image.outline ??= outline(mask, height, width);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
    for (const kind of ["halo", "line"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", image.outline);
      svg.append(path);
    }
    return svg;
  }

  /** Writes the chosen number below each method's map, or the image's own. */
  showValues(image, place) {
    const number = this.number === null ? null : this.page.numbers[this.number];
    const values = number === null ? [] : image.values[this.number];
    const write = (selector, has) =>
      place.querySelectorAll(selector).forEach((span, i) => {
        span.textContent = has ? `${number.name}: ${shown(values[i])}` : "";
      });
    write(".value", number !== null && number.by_method);
    write(".of-image", number !== null && !number.by_method);
  }

  /** Does a task in one of the next frames or, if the page is printed, before paper is filled. */
  later(task) {
    // Not at once: until the script ends, the browser decodes no picture.
    if (this.isPrinting) return queueMicrotask(task);
    this.tasks.push(task);
    if (this.tasks.length === 1) requestAnimationFrame(() => this.work());
  }

  work() {
    const end = performance.now() + MILLISECONDS;
    // Those that they add wait for the next frame.
    const { length } = this.tasks;
    let done = 0;
    while (done < length && performance.now() < end) this.tasks[done++]();
    this.tasks.splice(0, done);
    if (this.tasks.length) requestAnimationFrame(() => this.work());
  }
}
