// What a layer reads: clauses 1, 4 and 5 of SPEC.md as functions of a normalised spec.

/** Return the layer of a spec: its axes and its channels. */
function layerOf(spec) {
  const rank = spec.input_size.length;
  const axes = spec.input_size.map((size, at) => {
    const [lo, hi] = spec.padding[at];
    const [kernel, stride, dilation] = [spec.kernel_size[at], spec.stride[at], spec.dilation[at]];
    const outputs = Math.floor((size + lo + hi - dilation * (kernel - 1) - 1) / stride) + 1;
    return { name: "zyx"[3 - rank + at], size, lo, hi, kernel, stride, dilation, outputs, shared: spec.shared[at] };
  });
  const table = spec.channel_table ?? null;
  const reads = table ? table[0].length : spec.in_channels / spec.groups;
  return {
    axes,
    table,
    reads,
    inputs: spec.in_channels,
    outputs: spec.out_channels,
    groups: spec.groups,
    bias: spec.bias,
  };
}

/** Return the site that each tap of a position reads on one axis; those outside the input are padding. */
function sitesOf(axis, position) {
  return Array.from({ length: axis.kernel }, (_, tap) => position * axis.stride + tap * axis.dilation - axis.lo);
}

function isInside(axis, site) {
  return site >= 0 && site < axis.size;
}

/** Return the input channels that an output channel reads. */
function channelsOf(layer, output) {
  if (layer.table) return layer.table[output];
  const first = Math.floor(output / (layer.outputs / layer.groups)) * layer.reads;
  return Array.from({ length: layer.reads }, (_, c) => first + c);
}

/** Return the shapes of all tensors, each a list of [axis, length]. */
function shapesOf(layer, batch) {
  const over = (letter, length) => layer.axes.map((axis) => [letter + axis.name, length(axis)]);
  const outputs = over("o", (axis) => axis.outputs);
  const weights = over("o", (axis) => (axis.shared ? 1 : axis.outputs));
  const shapes = {
    x: [["n", batch], ...over("i", (axis) => axis.size), ["ci", layer.inputs]],
    weight: [...weights, ...over("k", (axis) => axis.kernel), ["cg", layer.reads], ["co", layer.outputs]],
    y: [["n", batch], ...outputs, ["co", layer.outputs]],
  };
  if (layer.bias !== "none") shapes.bias = [...(layer.bias === "position" ? outputs : []), ["co", layer.outputs]];
  return shapes;
}

function sizeOf(shape) {
  return shape.reduce((product, [, length]) => product * length, 1);
}

/** Return how many numbers the layer stores, the pairs of elements it joins, and the most products in one output. */
function countsOf(layer) {
  const { weight, bias } = shapesOf(layer, 1);
  const joined = layer.axes.map((axis) => {
    let taps = 0;
    for (let position = 0; position < axis.outputs; position++)
      taps += sitesOf(axis, position).filter((site) => isInside(axis, site)).length;
    return taps;
  });
  const product = (numbers) => numbers.reduce((all, one) => all * one, 1);
  return {
    parameters: sizeOf(weight) + (bias ? sizeOf(bias) : 0),
    connections: product(joined) * layer.reads * layer.outputs,
    "fan in": product(layer.axes.map((axis) => axis.kernel)) * layer.reads,
  };
}

const PLACE =
  /^(y|dx|dw|db): \[([^\]]*)\] got (\S+), expected ([^\s;]+); (\d+) of (\d+) elements wrong(?:; (?:limit ([^\s,]+)|every bit must agree), error (\S+) of the limit)?/;

/** Return what a message says of the worst element: result, place, numbers, and the rest; null where it speaks of none. */
function elementOf(message) {
  const found = PLACE.exec(message);
  if (!found) return null;
  const [, result, place, got, expected, wrong, of, limit = null, share = null] = found;
  const index = Object.fromEntries(
    place
      .split(", ")
      .map((part) => part.split("="))
      .map(([name, at]) => [name, Number(at)]),
  );
  const rest = message.slice(found[0].length).replace(/^[\s;,]+/, "");
  return { result, index, got, expected, wrong, of, limit, share, rest };
}

/** Return where an element lies: the position it belongs to, and the input site, each null where it has none. */
function whereIs(layer, element) {
  const along = (letter) => layer.axes.map((axis) => element.index[letter + axis.name]);
  const known = (indices, length) => indices.every((at, axis) => at >= 0 && at < length(layer.axes[axis]));
  const position = known(along("o"), (axis) => axis.outputs) ? along("o") : null;
  const taps = along("k");
  if (position && known(taps, (axis) => axis.kernel)) {
    return { position, site: layer.axes.map((axis, at) => sitesOf(axis, position[at])[taps[at]]) };
  }
  return { position, site: known(along("i"), (axis) => axis.size) ? along("i") : null };
}

/** Return the first position that reads a site, or null. */
function readerOf(layer, site) {
  const position = layer.axes.map((axis, at) => {
    for (let one = 0; one < axis.outputs; one++) if (sitesOf(axis, one).includes(site[at])) return one;
    return -1;
  });
  return position.includes(-1) ? null : position;
}
