"use strict";
// Cases of sizes without anything but the index: operands are made, and answers checked by projections (SPEC 11.8).
// `node sizes.js FOLDER START...` says of the cases whose ids begin so whether the layer of this port is right.

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { describe, forward, transpose, weightCotangent, biasCotangent } = require("./layer.js");

const WORD = (1n << 64n) - 1n, PRIME = (1n << 31n) - 1n;

// The first raw numbers of Philox4x64-10, keyed by a text.
function raw(text, count) {
  const digest = crypto.createHash("sha256").update(text).digest();
  const key = [digest.readBigUInt64LE(0), digest.readBigUInt64LE(8)], numbers = [];
  for (let block = 1n; numbers.length < count; block++) {
    let c = [block, 0n, 0n, 0n], [k, l] = key;
    for (let round = 0; round < 10; round++) {
      const a = 0xD2E7470EE14C6C93n * c[0], b = 0xCA5A826395121157n * c[2];
      c = [(b >> 64n) ^ c[1] ^ k, b & WORD, (a >> 64n) ^ c[3] ^ l, a & WORD];
      k = (k + 0x9E3779B97F4A7C15n) & WORD;
      l = (l + 0xBB67AE8584CAA73Bn) & WORD;
    }
    numbers.push(...c);
  }
  return numbers.slice(0, count);
}

const size = (shape) => shape.reduce((a, b) => a * b, 1);

function operand(entry, name) {
  const amplitude = BigInt(name === "bias" ? 7 : entry.amplitude), oneIn = BigInt(name === "weight" ? entry.one_in : 1);
  const values = raw(`${entry.id}:${name}`, size(entry.arrays[name].shape)).map((r) => {
    const value = Number(r % (2n * amplitude) - amplitude);
    return (r >> 32n) % oneIn ? 0 : value + (value >= 0);
  });
  return Float64Array.from(values);
}

function right(entry, result, answer) {
  const small = answer.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 30);
  return small && entry.checks[result].every((check, j) => {
    const factors = raw(`${entry.id}:${result}/${j}`, answer.length);
    const sum = factors.reduce((total, factor, i) => total + (factor % PRIME) * BigInt(answer[i]), 0n);
    return ((sum % PRIME) + PRIME) % PRIME === BigInt(check);
  });
}

// Every result of this port's own layer, by name.
function answers(entry) {
  const given = Object.fromEntries(["x", "weight", "bias", "dy"].filter((name) => name in entry.arrays)
    .map((name) => [name, operand(entry, name)]));
  const layer = describe(entry.spec);
  const results = {
    y: forward(layer, entry.batch, given.x, given.weight, given.bias),
    dx: transpose(layer, entry.batch, given.dy, given.weight),
    dw: weightCotangent(layer, entry.batch, given.x, given.dy),
  };
  return given.bias ? { ...results, db: biasCotangent(layer, given.dy) } : results;
}

function main([folder, ...starts]) {
  const { generated } = JSON.parse(fs.readFileSync(path.join(folder, "index.json"), "utf8"));
  for (const entry of generated.filter(({ id }) => starts.some((start) => id.startsWith(start)))) {
    for (const [result, answer] of Object.entries(answers(entry))) {
      console.log(entry.id, result, right(entry, result, answer) ? "right" : "wrong");
    }
  }
}

main(process.argv.slice(2));
