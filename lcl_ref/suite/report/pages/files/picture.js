// Drawings of small squares: the frame they share, one axis with all its positions, and the channels.

const SIDE = 15;
const MOST_ROWS = 20;
const MOST_COLUMNS = 40;

/** Return the part [from, to) of `length` things from `start` that is drawn: at most `most` of them, around a centre. */
function part(start, length, centre, most) {
  const from = Math.max(start, Math.min(centre - Math.floor(most / 2), start + length - most));
  return [from, Math.min(start + length, from + most)];
}

function square(column, row, kind) {
  return draw("rect", {
    x: column * SIDE + 1,
    y: row * SIDE + 1,
    width: SIDE - 2,
    height: SIDE - 2,
    rx: 2,
    class: kind,
  });
}

function frame(column, row, kind) {
  return draw("rect", { x: column * SIDE, y: row * SIDE, width: SIDE, height: SIDE, rx: 3, class: kind });
}

function words(text, x, y, anchor = "start") {
  return draw("text", { x, y, "text-anchor": anchor }, text);
}

/** Return a drawing with its description for those who do not see it. */
function drawing(width, height, description, ...children) {
  const stripe = draw("path", { d: "M0 4 L4 0", class: "hatch" });
  const hatch = draw("pattern", { id: "hatch", width: 4, height: 4, patternUnits: "userSpaceOnUse" }, stripe);
  const box = {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    class: "drawing",
    role: "img",
    "aria-label": description,
  };
  return draw("svg", box, draw("defs", {}, hatch), ...children);
}

/** Return one axis: a row per position, a column per site; the sites that the position reads are filled. */
function axisPicture(axis, position, site) {
  const [top, bottom] = part(0, axis.outputs, position, MOST_ROWS);
  const centre = sitesOf(axis, position)[Math.floor(axis.kernel / 2)];
  const [left, right] = part(-axis.lo, axis.lo + axis.size + axis.hi, centre, MOST_COLUMNS);
  const margin = 46;
  const shapes = [];
  for (let row = top; row < bottom; row++) {
    const read = new Set(sitesOf(axis, row));
    for (let column = left; column < right; column++) {
      const inside = isInside(axis, column);
      const kind = read.has(column)
        ? inside
          ? row === position
            ? "read"
            : "soft"
          : "padding"
        : inside
          ? ""
          : "outside";
      shapes.push(square(column - left, row - top, kind));
    }
    if (row === position) shapes.push(draw("rect", rowBox(right - left, row - top)));
  }
  if (site !== null && site >= left && site < right) shapes.push(frame(site - left, position - top, "mark"));
  const labels = [];
  for (let row = top; row < bottom; row++)
    labels.push(words(`o${axis.name}=${row}`, margin - 6, (row - top + 1) * SIDE + 13, "end"));
  for (let column = left; column < right; column++) {
    if (column % 5 === 0) labels.push(words(String(column), margin + (column - left + 0.5) * SIDE, 12, "middle"));
  }
  const cut = bottom - top < axis.outputs || right - left < axis.lo + axis.size + axis.hi;
  const width = margin + (right - left) * SIDE + 2;
  const picture = drawing(
    width,
    (bottom - top + 1) * SIDE + 4,
    axisWords(axis, position),
    ...labels,
    draw("g", { transform: `translate(${margin} ${SIDE + 2})` }, ...shapes),
  );
  return make("figure", {}, make("figcaption", {}, axisCaption(axis, cut)), picture);
}

function rowBox(columns, row) {
  return { x: 0, y: row * SIDE, width: columns * SIDE, height: SIDE, rx: 3, class: "here" };
}

function axisWords(axis, position) {
  const [inside, outside] = [[], []];
  for (const site of sitesOf(axis, position)) (isInside(axis, site) ? inside : outside).push(site);
  const padding = outside.length ? ` and ${outside.length} in the padding` : "";
  return `Axis ${axis.name}: position ${position} of ${axis.outputs} reads sites ${inside.join(", ") || "none"}${padding}`;
}

function axisCaption(axis, cut) {
  const shared = axis.shared ? "; all positions share one weight" : "";
  return `Axis ${axis.name}: a row per position, a column per input site${shared}${cut ? "; a part of it" : ""}`;
}

/** Return which output channel reads which input channel. */
function channelPicture(layer) {
  const [rows, columns] = [Math.min(layer.outputs, MOST_ROWS), Math.min(layer.inputs, MOST_COLUMNS)];
  const shapes = [];
  for (let row = 0; row < rows; row++) {
    const read = new Set(channelsOf(layer, row));
    for (let column = 0; column < columns; column++) shapes.push(square(column, row, read.has(column) ? "soft" : ""));
  }
  const labels = Array.from({ length: rows }, (_, row) => words(`co=${row}`, 40, (row + 1) * SIDE - 3, "end"));
  const cut = rows < layer.outputs || columns < layer.inputs ? "; a part of them" : "";
  const description = `Output channel 0 reads input channels ${channelsOf(layer, 0).slice(0, MOST_COLUMNS).join(", ")}`;
  const picture = drawing(
    48 + columns * SIDE,
    rows * SIDE + 2,
    description,
    ...labels,
    draw("g", { transform: "translate(46 0)" }, ...shapes),
  );
  return make(
    "figure",
    {},
    make("figcaption", {}, `Channels: a row per output channel, a column per input channel${cut}`),
    picture,
  );
}
