// A list of cells: those with certain words, and the one that an address names.

const listed = [...document.querySelectorAll(".listed")];
const form = document.getElementById("words");

function filterList() {
  const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const one of listed) {
    const text = one.textContent.toLowerCase();
    one.hidden = !words.every((word) => text.includes(word));
    shown += one.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = words.length ? `${shown} of ${listed.length} cells` : "";
}

function openAddressed() {
  let name;
  try {
    name = decodeURIComponent(location.hash.slice(1));
  } catch {
    return; // no address of ours
  }
  const one = listed.find((element) => element.id === name);
  if (one) {
    one.open = true;
    one.scrollIntoView();
  }
}

form?.addEventListener("input", filterList);
form?.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", openAddressed);
openAddressed();
