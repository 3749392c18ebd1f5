// The kill matrix: one pair of a deviation and a case, chosen in the form or in the picture, in words.

const pair = document.getElementById("pair");

function fill(name, values) {
  pair.elements[name].append(...values.map((value, at) => make("option", { value: at }, value)));
}

function say() {
  const [row, column] = [Number(pair.elements.deviation.value), Number(pair.elements.case.value)];
  const letters = data.rows[row].slice(column * data.ops.length, (column + 1) * data.ops.length);
  const words = data.ops.map((op, at) => `${op}: ${data.words[letters[at]]}`);
  document.getElementById("said").textContent = words.join("; ");
  document.getElementById("row").setAttribute("y", row * data.side);
  document.getElementById("column").setAttribute("x", column * data.side);
}

function choose(event) {
  const box = document.getElementById("matrix").getBoundingClientRect();
  const scale = (data.cases.length * data.side) / box.width;
  pair.elements.deviation.value = Math.floor(((event.clientY - box.top) * scale) / data.side);
  pair.elements.case.value = Math.floor(((event.clientX - box.left) * scale) / data.side);
  say();
}

fill("deviation", data.deviations);
fill("case", data.cases);
pair.addEventListener("input", say);
document.getElementById("matrix").addEventListener("click", choose);
say();
