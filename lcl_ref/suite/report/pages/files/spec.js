// A specification in words: its settings, and the shapes it makes.

const USUAL = { stride: 1, dilation: 1, groups: 1, shared: false, padding: 0, bias: "position" };

function facts(entries) {
  return make(
    "dl",
    { class: "facts" },
    ...entries.flatMap(([name, value, kind = ""]) => [make("dt", {}, name), make("dd", { class: kind }, value)]),
  );
}

/** Return a setting in short: one number where all axes have it. */
function setting(value) {
  const flat = Array.isArray(value)
    ? value.map((one) => (Array.isArray(one) && one.length === 2 && one[0] === one[1] ? one[0] : one))
    : value;
  const same = Array.isArray(flat) && flat.length > 0 && flat.every((one) => one === flat[0] && !Array.isArray(one));
  return same ? flat[0] : flat;
}

function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value).replaceAll(",", ", ");
}

function settingsPart(spec) {
  const rows = Object.entries(spec).filter(
    ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
  );
  return facts(
    rows.map(([name, value]) => {
      const short = setting(value);
      return [
        name,
        written(name === "input_size" || name === "kernel_size" ? value : short),
        short === USUAL[name] ? "usual" : "",
      ];
    }),
  );
}

function shapesPart(layer, batch) {
  const shapes = Object.entries(shapesOf(layer, batch)).map(([name, shape]) => [
    name,
    shape.map(([axis, length]) => `${axis} ${length}`).join(", "),
  ]);
  const counts = Object.entries(countsOf(layer)).map(([name, count]) => [name, count.toLocaleString("en")]);
  return facts([...shapes, ...counts]);
}
