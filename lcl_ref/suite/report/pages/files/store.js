// The cells of a report: what was asked, what came of it, and under which address each stands.

const STATES = {
  pass: "conform",
  fail: "deviate",
  error: "without answer",
  unsupported: "unsupported",
  not_run: "not run",
};
const SIGNS = { pass: "✓", fail: "✗", error: "✗", unsupported: "–", not_run: "?" };

const backendNumber = new Map(data.backends.map((backend, number) => [backend.label, number]));
const questionNumber = new Map(
  data.questions.map(([one, op, dtype], number) => [[data.cases[one].id, op, dtype].join("/"), number]),
);
const questionsOf = data.cases.map(() => []);
data.questions.forEach(([one], number) => questionsOf[one].push(number));

/** Return the answer of a backend to a question, or null where it was not asked. */
function answerOf(backend, question) {
  const number = data.cells[backend][question];
  if (number < 0) return null;
  const [state, ratio, message, kind, mistake] = data.answers[number];
  return { state, ratio, message, kind, mistake };
}

/** Return the address of a cell: #backend/case/op/dtype. */
function addressOf(backend, question) {
  const [one, op, dtype] = data.questions[question];
  const words = [...data.cases[one].id.split("/"), op, dtype].map(encodeURIComponent);
  return `#${encodeURIComponent(data.backends[backend].label)}/${words.join("/")}`;
}

/** Return the numbers {backend, question} of an address; the question is null in #backend/, all is where there is none. */
function cellAt(address) {
  let parts;
  try {
    parts = address.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return null; // no address of ours
  }
  const backend = backendNumber.get(parts[0]);
  if (backend === undefined || parts.length < 2) return null;
  if (parts.length === 2 && parts[1] === "") return { backend, question: null };
  const question = questionNumber.get(parts.slice(1).join("/"));
  return question === undefined ? null : { backend, question };
}

/** Return how many of some questions came out how, as a backend answered them. */
function tally(backend, questions) {
  const counts = {};
  for (const question of questions) {
    const answer = data.cells[backend][question];
    if (answer < 0) continue;
    const state = data.answers[answer][0];
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

/** Return the state that stands for several: the worst of those that were asked. */
function worst(counts) {
  return ["fail", "error", "pass", "not_run", "unsupported"].find((state) => counts[state]) ?? null;
}

function inWords(counts) {
  const asked = Object.keys(STATES).filter((state) => counts[state]);
  return asked.map((state) => `${counts[state].toLocaleString("en")} ${STATES[state]}`).join(", ");
}

function counted(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}
