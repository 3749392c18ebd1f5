// The pictures of cases beside the clauses that they test, drawn when a reader opens them.

const explorer = new URL("../explorer.html", document.currentScript.src).href;

function casePart(id) {
  const { spec, why } = cases[id];
  const title = make("p", {}, make("a", { href: `${explorer}#${id}` }, make("code", {}, id)), ` ${why}.`);
  return make("section", {}, title, connectivity(layerOf(spec), null));
}

document.addEventListener("DOMContentLoaded", () => {
  for (const details of document.querySelectorAll("details.lcl-cases")) {
    const place = details.querySelector("div");
    const ids = details.dataset.cases.split(" ");
    // Closed ones are emptied: all drawings share the id of the hatching, which must be that of a drawing that is seen.
    details.addEventListener("toggle", () => place.replaceChildren(...(details.open ? ids.map(casePart) : [])));
  }
});
