// The input and the output as planes: one position chosen, the window it sees, the element that is wrong.

const MOST_SLICES = 4;
const MOST_SIDE = 28;

/** Return the axes of the plane (y, x); where the layer has one axis, y is a single row. */
function planeAxes(layer) {
  const single = { name: "", size: 1, lo: 0, hi: 0, kernel: 1, stride: 1, dilation: 1, outputs: 1, shared: false };
  const axes = layer.axes.slice(-2);
  return axes.length === 2 ? axes : [single, ...axes];
}

function lastTwo(indices) {
  return indices === null ? null : [0, ...indices].slice(-2);
}

/** Return squares of a plane; `kind(row, column)` names what each is. */
function plane(rows, columns, kind) {
  const shapes = [];
  for (let row = rows[0]; row < rows[1]; row++) {
    for (let column = columns[0]; column < columns[1]; column++)
      shapes.push(square(column - columns[0], row - rows[0], kind(row, column)));
  }
  return shapes;
}

/** Return the input plane (a slice of it) with the window of a position, as a group and its size. */
function inputPlane(layer, position, site, inSlice) {
  const [down, across] = planeAxes(layer);
  const at = lastTwo(position);
  const [rowsRead, columnsRead] = [sitesOf(down, at[0]), sitesOf(across, at[1])];
  const rows = part(-down.lo, down.lo + down.size + down.hi, rowsRead[Math.floor(down.kernel / 2)], MOST_SIDE);
  const columns = part(
    -across.lo,
    across.lo + across.size + across.hi,
    columnsRead[Math.floor(across.kernel / 2)],
    MOST_SIDE,
  );
  const shapes = plane(rows, columns, (row, column) => {
    const inside = isInside(down, row) && isInside(across, column);
    const read = rowsRead.includes(row) && columnsRead.includes(column);
    return read ? (inside && inSlice ? "read" : "padding") : inside && inSlice ? "" : "outside";
  });
  const marked = lastTwo(site);
  if (marked && marked[0] >= rows[0] && marked[0] < rows[1] && marked[1] >= columns[0] && marked[1] < columns[1]) {
    shapes.push(frame(marked[1] - columns[0], marked[0] - rows[0], "mark"));
  }
  return { shapes, rows: rows[1] - rows[0], columns: columns[1] - columns[0] };
}

/** Return the output plane with the chosen position, and the wrong one. */
function outputPlane(layer, position, wrong) {
  const [down, across] = planeAxes(layer);
  const [row, column] = lastTwo(position);
  const rows = part(0, down.outputs, row, MOST_SIDE);
  const columns = part(0, across.outputs, column, MOST_SIDE);
  const shapes = plane(rows, columns, (r, c) => (r === row && c === column ? "read" : ""));
  const same = wrong !== null && wrong.every((at, axis) => layer.axes.length < 3 || axis > 0 || at === position[0]);
  const marked = same ? lastTwo(wrong) : null;
  if (marked && marked[0] >= rows[0] && marked[0] < rows[1] && marked[1] >= columns[0] && marked[1] < columns[1]) {
    shapes.push(frame(marked[1] - columns[0], marked[0] - rows[0], "mark"));
  }
  return { shapes, rows: rows[1] - rows[0], columns: columns[1] - columns[0] };
}

function slices(layer, position) {
  if (layer.axes.length < 3) return [null];
  return sitesOf(layer.axes[0], position[0]).slice(0, MOST_SLICES);
}

/** Return input and output as planes, slices of a third axis one under the other. */
function planesPicture(layer, position, wrong, site) {
  const parts = slices(layer, position).map((slice) => {
    const inSlice = slice === null || isInside(layer.axes[0], slice);
    const mark = site !== null && (slice === null || site[0] === slice) ? site : null;
    const note = slice === null ? "input" : `input, iz=${slice}${inSlice ? "" : " (padding)"}`;
    return { note, ...inputPlane(layer, position, mark, inSlice) };
  });
  const output = outputPlane(layer, position, wrong);
  const shift = Math.max(...parts.map((one) => one.columns), 8) * SIDE + 50;
  const groups = [];
  let y = 0;
  for (const one of parts) {
    groups.push(words(one.note, 0, y + 12), draw("g", { transform: `translate(0 ${y + 18})` }, ...one.shapes));
    y += one.rows * SIDE + 30;
  }
  const note = layer.axes.length < 3 ? "output" : `output, oz=${position[0]}`;
  groups.push(words(note, shift, 12), draw("g", { transform: `translate(${shift} 18)` }, ...output.shapes));
  const height = Math.max(y, output.rows * SIDE + 30);
  const description = `Output position ${position.join(", ")}. ${layer.axes.map((axis, at) => axisWords(axis, position[at])).join(". ")}.`;
  return drawing(shift + Math.max(output.columns, 7) * SIDE + 4, height, description, ...groups);
}

/** Return the whole picture of a layer with a slider for each axis of the position; `moved` is told where they stand. */
function connectivity(layer, element, moved = () => {}) {
  const where = element ? whereIs(layer, element) : { position: null, site: null };
  const seen = where.site && !where.position ? readerOf(layer, where.site) : null;
  const position = where.position ?? seen ?? layer.axes.map((axis) => Math.floor(axis.outputs / 2));
  const place = make("div");
  const redraw = () => {
    place.replaceChildren(...pictures(layer, position, where));
    moved(position);
  };
  const sliders = layer.axes
    .filter((axis) => axis.outputs > 1)
    .map((axis) => slider(axis, layer.axes.indexOf(axis), position, redraw));
  redraw();
  return make("div", {}, sliders.length ? make("div", { class: "sliders" }, ...sliders) : null, place);
}

function pictures(layer, position, where) {
  const channels = layer.axes.length === 0 || layer.groups > 1 || layer.table ? [channelPicture(layer)] : [];
  if (layer.axes.length === 0) return channels;
  const planes = make("figure", {}, planesPicture(layer, position, where.position, where.site), planesCaption(where));
  const here = where.position === null || where.position.every((at, axis) => at === position[axis]);
  return [
    planes,
    ...layer.axes.map((axis, at) => axisPicture(axis, position[at], here && where.site ? where.site[at] : null)),
    ...channels,
  ];
}

function planesCaption(where) {
  const wrong = where.position || where.site ? " A red frame marks the element that is wrong." : "";
  return make(
    "figcaption",
    {},
    `Filled: what the chosen position reads. Hatched: what of it falls on the padding.${wrong}`,
  );
}

function slider(axis, at, position, redraw) {
  const text = () => `position o${axis.name}: ${position[at]} of 0 to ${axis.outputs - 1}`;
  const shown = make("span", {}, text());
  const move = (event) => {
    position[at] = Number(event.target.value);
    shown.textContent = text();
    redraw();
  };
  return make(
    "label",
    {},
    shown,
    make("input", { type: "range", min: 0, max: axis.outputs - 1, value: position[at], input: move }),
  );
}
