// What paper needs: all pictures, and tables that are not wider than it.

// Width between the margins of the narrower of A4 and Letter, in pixels of CSS.
const PAPER = 710;

/** Copies of a table with some of its columns each, so that none is wider than paper. */
function printedTables(table) {
  const copy = table.cloneNode(true);
  copy.removeAttribute("id");
  copy.className = "printed";
  copy.querySelectorAll("[hidden]").forEach((cell) => cell.remove());
  copy.querySelectorAll("button").forEach((button) => button.replaceWith(...button.childNodes));
  // To be measured, it must be there.
  table.after(copy);
  const [first, ...widths] = [...copy.tHead.rows[0].cells].map((cell) => cell.offsetWidth);
  const groups = [];
  let room = 0;
  widths.forEach((width, i) => {
    if (groups.length === 0 || width > room) {
      groups.push([]);
      room = PAPER - first;
    }
    groups.at(-1).push(i + 1);
    room -= width;
  });
  const parts = groups.map((columns) => {
    const part = copy.cloneNode(true);
    for (const row of part.rows) {
      [...row.cells].forEach((cell, i) => i > 0 && !columns.includes(i) && cell.remove());
    }
    return part;
  });
  copy.replaceWith(...parts);
  return parts;
}

function makePrintable(table, images) {
  let parts = [];
  window.addEventListener("beforeprint", () => {
    parts = printedTables(table);
    images.print();
  });
  window.addEventListener("afterprint", () => {
    parts.forEach((part) => part.remove());
    images.printed();
  });
}
