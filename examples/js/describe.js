"use strict";
// What a user writes as a layer, normalised or refused: SPEC.md, clauses 0, 2 and 10.

const RULES = { // 2.2: input size, stride, dilated extent, and the total that `same` rules add
  valid: () => [0, 0],
  same_upper: (size, stride, extent, total) => [total >> 1, total - (total >> 1)],
  same_lower: (size, stride, extent, total) => [total - (total >> 1), total >> 1],
  same_keras_local: (size, stride, extent) => {
    const lo = extent >> 1, last = (Math.ceil(size / stride) - 1) * stride;
    return [lo, Math.max(last + extent - lo - size, 0)];
  },
  causal: (size, stride, extent) => [extent - 1, 0],
};
const BIASES = ["position", "channel", "none"];
const DEFAULTS = { stride: 1, padding: "valid", dilation: 1, groups: 1, shared: false, bias: "position" };
const REQUIRED = ["input_size", "in_channels", "out_channels", "kernel_size"];

class Refused extends Error {}

function need(holds, text) {
  if (!holds) throw new Refused(text);
}

function whole(value, field, least) { // 10.2, 10.3
  need(Number.isInteger(value), `${field}: ${JSON.stringify(value)} is no whole number`);
  need(value >= least, `${field}: ${value}, expected at least ${least}`);
  return value;
}

// One entry per axis of what is one value for all of them, or a list (0.2, 10.4).
function each(value, field, rank) {
  if (!Array.isArray(value)) return new Array(rank).fill(value);
  need(value.length === rank, `${field}: ${value.length} entries, expected ${rank}`);
  return value;
}

function sizes(value, field, rank) {
  if (!Array.isArray(value)) whole(value, field, 1); // checked at rank 0 too
  return each(value, field, rank).map((entry) => whole(entry, field, 1));
}

function pair(entry, size, stride, extent) { // 10.5
  if (Array.isArray(entry)) {
    need(entry.length === 2, `padding: ${JSON.stringify(entry)}, expected [lo, hi]`);
    return entry.map((side) => whole(side, "padding", 0));
  }
  if (typeof entry !== "string") return new Array(2).fill(whole(entry, "padding", 0));
  need(Object.hasOwn(RULES, entry), `padding: no rule ${JSON.stringify(entry)}`);
  const positions = Math.ceil(size / stride);
  return RULES[entry](size, stride, extent, Math.max((positions - 1) * stride + extent - size, 0));
}

function table(rows, { in_channels, out_channels, groups }) { // 10.8
  need(Array.isArray(rows) && rows.every(Array.isArray), "channel_table: expected a list of rows");
  need(rows.length === out_channels, `channel_table: ${rows.length} rows, expected ${out_channels}`);
  need(rows[0].length > 0 && rows.every((row) => row.length === rows[0].length), "channel_table: rows of one width");
  need(groups === 1, "channel_table: beside groups");
  for (const row of rows) {
    for (const channel of row) {
      need(whole(channel, "channel_table", 0) < in_channels, `channel_table: no input channel ${channel}`);
    }
    need(new Set(row).size === row.length, "channel_table: a channel stands twice in a row");
  }
  return rows;
}

function normalised(written) {
  const layer = { ...DEFAULTS, ...written };
  for (const field of REQUIRED) need(field in layer, `${field}: missing`);
  const fields = [...REQUIRED, ...Object.keys(DEFAULTS), "channel_table"];
  for (const field in layer) need(fields.includes(field), `${field}: no such field`); // 10.12
  const input_size = Array.isArray(layer.input_size) ? layer.input_size : [layer.input_size];
  const rank = input_size.length;
  need(rank <= 3, `input_size: ${rank} axes, expected at most 3`);
  const spec = { input_size: sizes(input_size, "input_size", rank) };
  for (const field of ["in_channels", "out_channels", "groups"]) spec[field] = whole(layer[field], field, 1);
  for (const field of ["kernel_size", "stride", "dilation"]) spec[field] = sizes(layer[field], field, rank);
  const extents = spec.kernel_size.map((taps, axis) => spec.dilation[axis] * (taps - 1) + 1);
  if (rank === 0 && !Array.isArray(layer.padding)) pair(layer.padding, 1, 1, 1);
  spec.padding = each(layer.padding, "padding", rank).map((entry, axis) =>
    pair(entry, spec.input_size[axis], spec.stride[axis], extents[axis]));
  spec.shared = each(layer.shared, "shared", rank);
  need([layer.shared, ...spec.shared].flat().every((flag) => typeof flag === "boolean"), "shared: no boolean"); // 10.9
  need(BIASES.includes(layer.bias), `bias: ${JSON.stringify(layer.bias)}`);
  spec.bias = layer.bias;
  for (const field of ["in_channels", "out_channels"]) { // 10.7
    need(spec[field] % spec.groups === 0, `${field}: ${spec[field]} in ${spec.groups} groups`);
  }
  if (layer.channel_table != null) spec.channel_table = table(layer.channel_table, spec);
  spec.padding.forEach(([lo, hi], axis) => // 10.6
    need(spec.input_size[axis] + lo + hi >= extents[axis], `axis ${axis}: the window is larger than the input`));
  return spec;
}

// The answer to the command `describe`.
function described(written) {
  try {
    return { spec: normalised(written) };
  } catch (error) {
    if (error instanceof Refused) return { refused: error.message };
    throw error;
  }
}

module.exports = { described };
