// Opacity, outlines, filters and order.

const byId = (id) => document.getElementById(id);

/** The value of a control that need not be there. */
const chosen = (id) => byId(id)?.value ?? "";

/** What an image is filtered and ordered by, or null. */
function valueOf(image) {
  const number = chosen("number");
  if (number === "") return null;
  return image.values[number][page.numbers[number].by_method ? chosen("method") : 0];
}

/** Without a label a prediction is neither right nor wrong. */
function verdictOf(image) {
  if (image.label === null) return null;
  return image.label === image.prediction ? "right" : "wrong";
}

function isShown(image) {
  if (chosen("label") !== "" && String(image.label) !== chosen("label")) return false;
  if (chosen("prediction") !== "" && String(image.prediction) !== chosen("prediction")) return false;
  if (chosen("verdict") !== "" && verdictOf(image) !== chosen("verdict")) return false;
  if (chosen("number") === "" || (chosen("from") === "" && chosen("to") === "")) return true;
  const value = valueOf(image);
  if (value === null) return false;
  const low = chosen("from") === "" ? -Infinity : Number(chosen("from"));
  const high = chosen("to") === "" ? Infinity : Number(chosen("to"));
  return low <= value && value <= high;
}

function ordered(rows) {
  const order = chosen("order");
  if (order === "") return rows;
  const keys = { name: (image) => image.name, label: (image) => image.label };
  const key = ({ image }) => (keys[order] ?? valueOf)(image);
  const sign = order === "highest" ? -1 : 1;
  return [...rows].sort((a, b) => compareKeys(key(a), key(b), sign));
}

/** Brings the list in line with the controls. */
function update() {
  const hasNumber = chosen("number") !== "";
  const byMethod = hasNumber && page.numbers[chosen("number")].by_method;
  for (const id of ["from", "to"]) byId(id).disabled = !hasNumber;
  if (byId("method")) byId("method").disabled = !byMethod;
  const order = byId("order");
  for (const value of ["lowest", "highest"]) {
    const option = order.querySelector(`[value=${value}]`);
    option.disabled = !hasNumber;
    if (option.selected && !hasNumber) order.value = "";
  }
  let count = 0;
  for (const row of images.rows) {
    row.hidden = !isShown(row.image);
    count += !row.hidden;
  }
  images.list.append(...ordered(images.rows));
  images.choose(hasNumber ? Number(chosen("number")) : null);
  byId("count").textContent = `${count} of ${images.rows.length} images`;
}

function fillSelect(id, pairs) {
  byId(id)?.append(...pairs.map(([value, text]) => element("option", { value }, text)));
}

function classesOf(name) {
  const found = new Set(page.images.map((image) => image[name]).filter((value) => value !== null));
  return [...found].sort((a, b) => a - b).map((value) => [value, page.classes[value]]);
}

const page = JSON.parse(byId("data").textContent);
const images = new Images(page, byId("images"));

const enlarged = new Enlarged(images, byId("enlarged"));

makeSortable(byId("summary"));
makeChoosable(byId("summary"), byId("columns"));
showMoreToTheRight(byId("summary"), byId("more"));
makePrintable(byId("summary"), images);
fillSelect("label", classesOf("label"));
fillSelect("prediction", classesOf("prediction"));
fillSelect("number", page.numbers.map((number, i) => [i, number.name]));
fillSelect("method", page.methods.map((method, i) => [i, method.name]));

byId("controls").addEventListener("input", update);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
// The values are reset after the event.
byId("controls").addEventListener("reset", () => setTimeout(update));

const sliders = [...document.querySelectorAll("input[type=range]")];
if (sliders.length) {
  const { colors } = images.cells;
  const levels = Array.from({ length: 2 * LEVELS + 1 }, (_, i) => i - LEVELS);
  paint(byId("ramp"), Uint32Array.from(levels, (level) => colors.at(255 * page.tint.gray, level)));
  const fade = ({ target: { value } }) => {
    document.documentElement.style.setProperty("--opacity", value / 100);
    sliders.forEach((slider) => (slider.value = value));
    byId("opacity-value").textContent = `${value} %`;
  };
  sliders.forEach((slider) => slider.addEventListener("input", fade));
}
byId("outlines")?.addEventListener("change", (event) => {
  document.body.classList.toggle("without-outlines", !event.target.checked);
});
update();
