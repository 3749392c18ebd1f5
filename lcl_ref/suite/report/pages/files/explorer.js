// A layer: its fields, what follows from them, and the golden numbers while the fields are those of the case.

let shown = data.cases[0];

const form = document.getElementById("spec");
const element = document.getElementById("element");
const choice = document.getElementById("case");
const MOST_TERMS = 60;
const LISTS = ["input_size", "kernel_size", "stride", "padding", "dilation", "shared"];

/** What is wrong with a field, in words for who wrote it. */
class WrongField extends Error {}

const parse = {
  number(word, name, least = 1) {
    if (!/^\d{1,6}$/.test(word) || Number(word) < least)
      throw new WrongField(`${name}: a whole number from ${least} to 999999, not "${word}"`);
    return Number(word);
  },
  pair(word) {
    const [lo, hi = lo] = word.split(":").map((side) => parse.number(side, "padding", 0));
    return [lo, hi];
  },
  yes(word) {
    if (!["yes", "no"].includes(word)) throw new WrongField(`shared: yes or no, not "${word}"`);
    return word === "yes";
  },
};

function valuesOf(name) {
  return form.elements[name].value.split(/[\s,]+/).filter(Boolean);
}

/** Return the spec of the form; throws what is wrong with it, in words. */
function specOfForm() {
  const size = valuesOf("input_size").map((word) => parse.number(word, "input_size"));
  if (size.length > 3) throw new WrongField("input_size: at most 3 axes");
  const list = (name, read) => {
    const found = valuesOf(name).map((word) => read(word, name));
    if (found.length !== size.length && found.length !== 1)
      throw new WrongField(`${name}: 1 value, or one for each of ${size.length} axes`);
    return size.map((_, axis) => found[found.length === 1 ? 0 : axis]);
  };
  const one = (name, least = 1) => parse.number(form.elements[name].value.trim(), name, least);
  const spec = { input_size: size, in_channels: one("in_channels"), out_channels: one("out_channels") };
  for (const name of ["kernel_size", "stride", "dilation"]) spec[name] = size.length ? list(name, parse.number) : [];
  spec.padding = size.length ? list("padding", parse.pair) : [];
  spec.shared = size.length ? list("shared", parse.yes) : [];
  spec.groups = one("groups");
  spec.bias = form.elements.bias.value;
  spec.channel_table = isSame(spec.in_channels, spec.out_channels) ? (shown.spec.channel_table ?? null) : null;
  return { spec: checked(spec), batch: one("batch", 0) };
}

function isSame(inputs, outputs) {
  return inputs === shown.spec.in_channels && outputs === shown.spec.out_channels;
}

function checked(spec) {
  for (const [name, count] of [
    ["in_channels", spec.in_channels],
    ["out_channels", spec.out_channels],
  ]) {
    if (count % spec.groups) throw new WrongField(`groups: ${spec.groups} do not divide ${name} ${count}`);
  }
  for (const axis of layerOf(spec).axes) {
    if (axis.outputs < 1)
      throw new WrongField(`axis ${axis.name}: ${axis.outputs} positions; the window spans more than the padded input`);
  }
  return spec;
}

function fillForm({ spec, batch }) {
  const texts = {
    ...spec,
    batch,
    padding: spec.padding.map(([lo, hi]) => (lo === hi ? lo : `${lo}:${hi}`)),
    shared: spec.shared.map((one) => (one ? "yes" : "no")),
  };
  for (const field of form.elements) {
    if (field.name in texts)
      field.value = LISTS.includes(field.name) ? texts[field.name].join(", ") : texts[field.name];
  }
}

/** Return a number of the golden data by its indices. */
function numberAt(name, shape, indices) {
  return shown.numbers[name][indices.reduce((at, index, axis) => at * shape[axis][1] + index, 0)];
}

function taps(layer) {
  return layer.axes.reduce(
    (all, axis) => all.flatMap((tap) => Array.from({ length: axis.kernel }, (_, k) => [...tap, k])),
    [[]],
  );
}

/** Return the terms of one output element with their numbers, each {text, value}. */
function termsOf(layer, batch, n, position, f) {
  const shapes = shapesOf(layer, batch);
  const own = position.map((at, axis) => (layer.axes[axis].shared ? 0 : at));
  const terms = taps(layer).flatMap((tap) => {
    const site = layer.axes.map((axis, at) => sitesOf(axis, position[at])[tap[at]]);
    if (!site.every((at, axis) => isInside(layer.axes[axis], at)))
      return [{ text: `tap ${tap.join(", ")} is in the padding`, value: 0 }];
    return channelsOf(layer, f).map((channel, c) => {
      const [left, right] = [
        numberAt("x", shapes.x, [n, ...site, channel]),
        numberAt("weight", shapes.weight, [...own, ...tap, c, f]),
      ];
      return {
        text: `x[${[n, ...site, channel].join(", ")}] * w[${[...own, ...tap, c, f].join(", ")}] = ${left} * ${right}`,
        value: left * right,
      };
    });
  });
  if (layer.bias === "none") return terms;
  const value = numberAt("bias", shapes.bias, layer.bias === "position" ? [...position, f] : [f]);
  return [...terms, { text: `bias = ${value}`, value }];
}

function sumText(layer, batch, position) {
  if (!shown.numbers) {
    const alone = choice ? `\n\n    lcl explain ${shown.id} --html page.html\n\nmakes a page of this case alone.` : "";
    return `This case's numbers are too many, or of a kind that is not shown.${alone}`;
  }
  if (JSON.stringify({ ...layerOf(shown.spec), batch: shown.batch }) !== JSON.stringify({ ...layer, batch }))
    return "The golden numbers are those of the case; these fields are others.";
  const [n, f] = [Number(element.elements.n.value), Number(element.elements.co.value)];
  if (!(n >= 0 && n < batch && f >= 0 && f < layer.outputs))
    return `There are ${batch} samples and ${layer.outputs} output channels.`;
  const terms = termsOf(layer, batch, n, position, f);
  const hidden = terms.length > MOST_TERMS ? [`(${terms.length - MOST_TERMS} more)`] : [];
  const golden = numberAt("y", shapesOf(layer, batch).y, [n, ...position, f]);
  return [
    `y[${[n, ...position, f].join(", ")}]`,
    ...terms.slice(0, MOST_TERMS).map((term) => `  + ${term.text}`),
    ...hidden,
    `  = ${golden}`,
  ].join("\n");
}

let redraw = () => {};

function refresh() {
  const said = document.getElementById("said");
  try {
    const { spec, batch } = specOfForm();
    const layer = layerOf(spec);
    said.textContent = "";
    document.getElementById("shapes").replaceChildren(shapesPart(layer, batch));
    document.getElementById("sees").replaceChildren(
      connectivity(layer, null, (position) => {
        redraw = () => (document.getElementById("sum").textContent = sumText(layer, batch, position));
        redraw();
      }),
    );
  } catch (error) {
    if (!(error instanceof WrongField)) throw error;
    said.textContent = error.message;
  }
}

form.addEventListener("input", refresh);
form.addEventListener("submit", (event) => event.preventDefault());
element.addEventListener("input", () => redraw());
element.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("again").addEventListener("click", () => show(shown));

/** Show a case as it is stored. */
function show(one) {
  shown = one;
  document.getElementById("why").textContent = `${one.why} (SPEC ${one.clauses.join(", ")})`;
  fillForm(one);
  refresh();
}

/** Show the case that the address names, or else the first. */
function showAddressed() {
  const id = location.hash.slice(1);
  show(data.cases.find((one) => one.id === id) ?? data.cases[0]);
  if (choice) choice.value = shown.id;
}

choice?.addEventListener("change", () => (location.hash = choice.value));
window.addEventListener("hashchange", showAddressed);
showAddressed();
