// Which columns a table shows, and how many of them are out of sight.

/** Hides and shows the columns whose boxes, in the order of the columns, are in a place. */
function makeChoosable(table, place) {
  const boxes = [...(place?.querySelectorAll("input") ?? [])];
  const update = () => {
    for (const row of table.rows) {
      boxes.forEach((box, i) => (row.cells[i + 1].hidden = !box.checked));
    }
  };
  place?.addEventListener("change", update);
  place?.addEventListener("click", ({ target }) => {
    if (target.name !== "columns") return;
    boxes.forEach((box) => (box.checked = target.value === "all"));
    update();
  });
}

/** Says how many columns are to the right of what a table's scrolling parent shows. */
function showMoreToTheRight(table, hint) {
  const scroll = table.parentElement;
  const update = () => {
    const edge = scroll.getBoundingClientRect().right + 1;
    const hidden = [...table.tHead.rows[0].cells].filter(
      (cell) => !cell.hidden && cell.getBoundingClientRect().right > edge,
    ).length;
    scroll.parentElement.classList.toggle("has-more", hidden > 0);
    hint.textContent = hidden > 0 ? `${hidden} more column${hidden === 1 ? "" : "s"} to the right \u2192` : "";
  };
  scroll.addEventListener("scroll", update, { passive: true });
  const observer = new ResizeObserver(update);
  observer.observe(scroll);
  observer.observe(table);
}
