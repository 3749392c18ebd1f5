"use strict";
// The layer of SPEC.md on flat typed arrays in C order, for every rank. Sums are kept in double precision.

const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

// The multi-index of every site of a grid, last axis fastest. A grid without axes has one site: [].
function sites(sizes) {
  return Array.from({ length: product(sizes) }, (_, flat) => {
    const index = new Array(sizes.length);
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      index[axis] = flat % sizes[axis];
      flat = Math.floor(flat / sizes[axis]);
    }
    return index;
  });
}

const flat = (index, sizes) => index.reduce((sum, at, axis) => sum * sizes[axis] + at, 0);

// Everything about a layer that does not depend on its numbers.
function describe(spec) {
  const { input_size, kernel_size, stride, padding, dilation, shared, groups } = spec;
  const output_size = input_size.map((size, axis) => {
    const [lo, hi] = padding[axis];
    return Math.floor((size + lo + hi - dilation[axis] * (kernel_size[axis] - 1) - 1) / stride[axis]) + 1; // 1.2
  });
  const width = spec.in_channels / groups, block = spec.out_channels / groups;
  const table = spec.channel_table || Array.from({ length: spec.out_channels }, (_, f) => // 4.1
    Array.from({ length: width }, (_, c) => Math.floor(f / block) * width + c));
  const layer = {
    output_size, table, taps: product(kernel_size), inputs: product(input_size), positions: product(output_size),
    ci: spec.in_channels, co: spec.out_channels, cg: table[0].length, bias: spec.bias, joined: [],
  };
  const weight_size = output_size.map((size, axis) => (shared[axis] ? 1 : size)); // 5.1
  sites(output_size).forEach((position, o) => {
    const block = flat(position.map((at, axis) => (shared[axis] ? 0 : at)), weight_size);
    sites(kernel_size).forEach((tap, k) => {
      const site = position.map((at, axis) => at * stride[axis] + tap[axis] * dilation[axis] - padding[axis][0]); // 1.1
      if (site.every((at, axis) => at >= 0 && at < input_size[axis])) { // 7.1
        layer.joined.push({ o, w: (block * layer.taps + k) * layer.cg * layer.co, i: flat(site, input_size) });
      }
    });
  });
  layer.weights = product(weight_size) * layer.taps * layer.cg * layer.co;
  return layer;
}

// Call visit(x index, weight index, y index) for every term of the layer: SPEC.md, "the whole layer in one line".
function eachTerm(layer, batch, visit) {
  const { table, ci, co, cg } = layer;
  for (let n = 0; n < batch; n++) {
    for (const { o, w, i } of layer.joined) {
      const x = (n * layer.inputs + i) * ci, y = (n * layer.positions + o) * co;
      for (let c = 0; c < cg; c++) {
        for (let f = 0; f < co; f++) visit(x + table[f][c], w + c * co + f, y + f);
      }
    }
  }
}

// Index into the bias of an output element, without its sample.
const biasAt = (layer, at) => (layer.bias === "position" ? at : at % layer.co);

function forward(layer, batch, x, weight, bias) {
  const per_sample = layer.positions * layer.co;
  const y = new Float64Array(batch * per_sample);
  if (bias) for (let at = 0; at < y.length; at++) y[at] = bias[biasAt(layer, at % per_sample)];
  eachTerm(layer, batch, (ix, iw, iy) => { y[iy] += x[ix] * weight[iw]; });
  return y;
}

function transpose(layer, batch, y, weight) { // 9.1, 9.4
  const xt = new Float64Array(batch * layer.inputs * layer.ci);
  eachTerm(layer, batch, (ix, iw, iy) => { xt[ix] += y[iy] * weight[iw]; });
  return xt;
}

function weightCotangent(layer, batch, x, dy) { // 9.2
  const dw = new Float64Array(layer.weights);
  eachTerm(layer, batch, (ix, iw, iy) => { dw[iw] += x[ix] * dy[iy]; });
  return dw;
}

function biasCotangent(layer, dy) { // 9.3
  const per_sample = layer.positions * layer.co;
  const db = new Float64Array(layer.bias === "position" ? per_sample : layer.co);
  for (let at = 0; at < dy.length; at++) db[biasAt(layer, at % per_sample)] += dy[at];
  return db;
}

module.exports = { describe, forward, transpose, weightCotangent, biasCotangent };
