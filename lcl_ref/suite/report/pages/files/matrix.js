// The table of cells: a row per case; a column per backend or, where one is left, per operation and format.

const matrix = document.getElementById("matrix");

/** Return the columns of a selection: a heading, and the backend and the questions of a case that stand in it. */
function columnsOf({ backends, rows }) {
  if (backends.length !== 1) {
    return backends.map((backend) => ({ name: data.backends[backend].label, backend, of: (questions) => questions }));
  }
  const kinds = new Set(
    rows.flatMap((row) => row.questions.map((question) => data.questions[question].slice(1).join(" "))),
  );
  const ordered = data.ops
    .flatMap((op) => data.dtypes.map((dtype) => `${op} ${dtype}`))
    .filter((kind) => kinds.has(kind));
  return ordered.map((kind) => ({
    name: kind,
    backend: backends[0],
    of: (questions) => questions.filter((question) => data.questions[question].slice(1).join(" ") === kind),
  }));
}

function link(column, questions, one) {
  const counts = tally(column.backend, questions);
  const state = worst(counts);
  if (state === null) return make("td");
  const first = questions.find((question) => isOne(column.backend, question, state));
  const alone = questions.length === 1 ? answerOf(column.backend, first) : null;
  const text = alone?.state === "pass" && alone.ratio ? alone.ratio.toFixed(2) : SIGNS[state];
  const kind = state === "error" ? "fail" : state;
  const words = `${column.name}, ${one.id}: ${inWords(counts)}`;
  return make(
    "td",
    {},
    make("a", { href: addressOf(column.backend, first), class: kind, tabindex: -1, "aria-label": words }, text),
  );
}

/** Draw the table of a selection. */
function showMatrix(selection) {
  const columns = columnsOf(selection);
  const heads = columns.map((column) => make("th", { scope: "col" }, make("span", {}, column.name)));
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "case"), ...heads));
  const body = make("tbody");
  for (const row of selection.rows) {
    const one = data.cases[row.number];
    const cells = columns.map((column) => {
      const questions = column.of(row.questions);
      return link(
        column,
        selection.state ? questions.filter((question) => isOne(column.backend, question, selection.state)) : questions,
        one,
      );
    });
    body.append(make("tr", {}, make("th", { scope: "row", title: one.id }, one.id), ...cells));
  }
  matrix.replaceChildren(head, body);
  matrix.querySelector("a")?.setAttribute("tabindex", 0);
  document.getElementById("count").textContent = summary(selection);
  document.getElementById("spread").replaceChildren(...spread(selection));
}

function summary({ backends, rows, state }) {
  const counts = {};
  for (const row of rows) {
    for (const backend of backends) {
      for (const [one, count] of Object.entries(tally(backend, row.questions))) {
        if (isOfState(one, state)) counts[one] = (counts[one] ?? 0) + count;
      }
    }
  }
  return `${counted(rows.length, "case")}, ${counted(backends.length, "backend")}: ${inWords(counts) || "no cell"}`;
}

/** Return the drawing of how the errors of right answers lie below their limit, and what it says in words. */
function spread({ backends, rows }) {
  const bins = Array(10).fill(0);
  let exact = 0;
  for (const { questions } of rows) {
    for (const backend of backends) {
      for (const question of questions) {
        const answer = answerOf(backend, question);
        if (answer?.state !== "pass" || answer.ratio === null) continue;
        if (answer.ratio === 0) exact += 1;
        else bins[Math.min(9, Math.floor(answer.ratio * 10))] += 1;
      }
    }
  }
  const inexact = bins.reduce((sum, count) => sum + count, 0);
  const caption = make(
    "figcaption",
    {},
    `Error as a share of its limit: ${exact} right answers are exact, ${inexact} are not, and lie so:`,
  );
  return inexact ? [caption, bars(bins)] : [];
}

function bars(bins) {
  const [step, height, most] = [56, 110, Math.max(...bins)];
  const shapes = bins.flatMap((count, bin) => {
    const tall = Math.round((count / most) * height);
    return [
      draw("rect", { x: bin * step + 4, y: 20 + height - tall, width: step - 8, height: tall, rx: 2, class: "column" }),
      words(String(count), (bin + 0.5) * step, 15 + height - tall, "middle"),
      words(`${bin / 10}`, bin * step, height + 36),
    ];
  });
  const said = bins.map((count, bin) => `${count} from ${bin / 10} to ${(bin + 1) / 10}`).join(", ");
  return drawing(
    10 * step + 20,
    height + 42,
    `Right answers by error over limit: ${said}`,
    ...shapes,
    words("1", 10 * step, height + 36),
  );
}

/** Move among cells with the arrow keys, Home and End. */
function moveInMatrix(event) {
  const cell = event.target.closest("td");
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!cell || !(event.key in steps)) return;
  const [down, across] = steps[event.key];
  const rows = [...matrix.tBodies[0].rows];
  let [row, column] = [rows.indexOf(cell.parentElement) + down, cell.cellIndex + across];
  while (rows[row]?.cells[column] && column > 0 && !rows[row].cells[column].firstElementChild)
    [row, column] = [row + down, column + across];
  const next = column > 0 && rows[row]?.cells[column]?.firstElementChild;
  if (!next) return;
  event.preventDefault();
  event.target.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

matrix.addEventListener("keydown", moveInMatrix);
