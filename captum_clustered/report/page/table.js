// Sorting of a table by the buttons in its head.

/** What a row is sorted by: a number, a text, or nothing. */
function sortKey(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.order !== undefined) return Number(cell.dataset.order);
  return column === 0 || !/^-?$/.test(cell.textContent.trim()) ? cell.textContent.trim() : null;
}

/** Orders two keys; what has none comes last in either direction. */
function compareKeys(first, second, sign) {
  if (first === null || second === null) return (first === null) - (second === null);
  if (typeof first === "string" && typeof second === "string") {
    return sign * first.localeCompare(second, "en", { numeric: true });
  }
  return sign * (first - second);
}

/** Lets each button in the head sort the rows, the other way round when pressed again. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const turned = { ascending: "descending", descending: "ascending" };
      const order = turned[now] ?? button.dataset.first ?? "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [sortKey(row, column), row]);
      const sign = order === "ascending" ? 1 : -1;
      keyed.sort((a, b) => compareKeys(a[0], b[0], sign));
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
