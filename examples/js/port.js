"use strict";
// The layer as a program for the suite: lcl run -b 'exec:node examples/js/port.js'. The protocol is docs/protocol.md.

const readline = require("node:readline");
const { describe, forward, transpose, weightCotangent, biasCotangent } = require("./layer.js");
const { described } = require("./describe.js");
const { KINDS, readFile, writeFile, fromInline, toInline } = require("./tensors.js");

const INLINE_BYTES = 1 << 14;
const DTYPES = { float32: "F32", float64: "F64" };

const GREETING = {
  protocol: "lcl-exec/1", name: "lcl-js", version: "1.0", language: `JavaScript, Node ${process.versions.node}`,
  inline_bytes: INLINE_BYTES, describes: true,
  capabilities: { ops: ["forward", "vjp", "transpose"], dtypes: Object.keys(DTYPES), channel_table: true },
};

// The results of one operation by name, in double precision.
function compute(op, spec, { x, weight, bias, dy, y }) {
  const layer = describe(spec);
  const batch = (x || y).shape[0];
  const x_shape = [batch, ...spec.input_size, spec.in_channels];
  const y_shape = [batch, ...layer.output_size, spec.out_channels];
  if (op === "forward") {
    return { y: { shape: y_shape, data: forward(layer, batch, x.data, weight.data, bias && bias.data) } };
  }
  if (op === "transpose") return { xt: { shape: x_shape, data: transpose(layer, batch, y.data, weight.data) } };
  if (op !== "vjp") throw new Error(`no operation ${op}`);
  const results = {
    dx: { shape: x_shape, data: transpose(layer, batch, dy.data, weight.data) },
    dw: { shape: weight.shape, data: weightCotangent(layer, batch, x.data, dy.data) },
  };
  if (bias) results.db = { shape: bias.shape, data: biasCotangent(layer, dy.data) };
  return results;
}

function run({ op, dtype, spec, operands, results }) {
  const kind = DTYPES[dtype];
  if (!kind) return { unsupported: `no ${dtype}` };
  const answers = compute(op, spec, typeof operands === "string" ? readFile(operands) : fromInline(operands));
  let bytes = 0;
  for (const answer of Object.values(answers)) { // rounded once, here
    Object.assign(answer, { dtype: kind, data: KINDS[kind].from(answer.data) });
    bytes += answer.data.byteLength;
  }
  if (bytes <= INLINE_BYTES) return { results: toInline(answers) };
  writeFile(results, answers);
  return { results: "file" };
}

function answer(message) {
  try {
    if (message.command === "start") return GREETING;
    if (message.command === "run") return run(message);
    if (message.command === "describe") return described(message.layer);
    return { error: `no command ${message.command}` };
  } catch (error) {
    return { error: String(error) };
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.command === "stop") process.exit(0);
  process.stdout.write(`${JSON.stringify({ id: message.id, ...answer(message) })}\n`);
});
