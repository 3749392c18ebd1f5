// The page of a report: addresses open cells, the form filters them.

const section = document.getElementById("cells");
let drawn = null;
let near = false;

/** Draw what the form leaves, once the reader is near: thousands of cells would keep the page from opening. */
function refresh() {
  const key = JSON.stringify(filterValues());
  if (near && key !== drawn) {
    showMatrix(selected(filterValues()));
    drawn = key;
  }
}

function filterTo(values) {
  setFilters(values);
  near = true;
  refresh();
  section.scrollIntoView();
}

function follow() {
  const cell = cellAt(location.hash);
  if (cell && cell.question !== null && answerOf(cell.backend, cell.question)) return showCell(cell);
  if (dialog.open) dialog.close();
  if (cell) filterTo({ backend: data.backends[cell.backend].label });
  else if (location.hash.startsWith("#?")) filterTo(Object.fromEntries(new URLSearchParams(location.hash.slice(2))));
}

function filterWords() {
  const words = new URLSearchParams(Object.entries(filterValues()).filter(([, value]) => value));
  return words.size ? `#?${words}` : "#cells";
}

startFilters(() => {
  history.replaceState(null, "", filterWords());
  near = true;
  refresh();
});
dialog.addEventListener("close", () => {
  if (cellAt(location.hash)) history.replaceState(null, "", filterWords());
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
addEventListener("hashchange", follow);
new IntersectionObserver(
  (entries, watcher) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    near = true;
    refresh();
  },
  { rootMargin: "800px" },
).observe(section);
follow();
