"use strict";
// Arrays in .safetensors files and in the lines of the protocol: eight bytes of header length, a JSON header, the data.

const fs = require("node:fs");

const KINDS = { F32: Float32Array, F64: Float64Array };

// A typed array of a piece of a file; copied, because typed arrays must be aligned and pieces of files are not.
function typed(dtype, bytes) {
  const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return new KINDS[dtype](copy);
}

function readFile(path) {
  const file = fs.readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start));
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) =>
    [name, { dtype, shape, data: typed(dtype, file.subarray(start + from, start + to)) }]));
}

function writeFile(path, tensors) {
  const header = {}, pieces = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [offset, offset += data.byteLength] };
    pieces.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(path, Buffer.concat([length, text, ...pieces]));
}

const fromInline = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape, data }]) =>
  [name, { dtype, shape, data: typed(dtype, Buffer.from(data, "base64")) }]));

const toInline = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape, data }]) =>
  [name, { dtype, shape, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64") }]));

module.exports = { KINDS, readFile, writeFile, fromInline, toInline };
