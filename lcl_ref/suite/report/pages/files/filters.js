// Which cells are looked at: words and choices of the form, kept in the address as #?name=value.

const some = (field, test) => (spec) => spec[field].some(test);

/** Kind of layer -> whether a spec is of it. */
const SETTINGS = {
  stride: some("stride", (step) => step > 1),
  dilation: some("dilation", (step) => step > 1),
  padding: some("padding", ([lo, hi]) => lo + hi > 0),
  "uneven padding": some("padding", ([lo, hi]) => lo !== hi),
  groups: (spec) => spec.groups > 1,
  depthwise: (spec) => spec.groups > 1 && spec.groups === spec.in_channels,
  "connection table": (spec) => Boolean(spec.channel_table),
  "shared on some axes": (spec) => spec.shared.includes(true) && spec.shared.includes(false),
  "shared on all axes": (spec) => spec.shared.length > 0 && !spec.shared.includes(false),
  "bias per channel": (spec) => spec.bias === "channel",
  "no bias": (spec) => spec.bias === "none",
  "empty batch": (spec, one) => one.batch === 0,
  "one sample": (spec, one) => one.batch === 1,
  "rounded numbers": (spec, one) => one.values === "rounded",
  "infinities and NaN": (spec, one) => one.values === "nonfinite",
};

/** Rank -> whether a case has it; checks ask layers of several. */
const RANKS = Object.fromEntries(
  [0, 1, 2, 3].map((rank) => [String(rank), (one) => one.spec?.input_size.length === rank]),
);
RANKS["checks"] = (one) => !one.spec;

/** Return whether a text has one of the words, separated by commas; `*` stands for anything. */
function wanted(words) {
  const patterns = words
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean)
    .map((word) => {
      const escaped = word.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
      return new RegExp(word.includes("*") ? `^${escaped}$` : escaped, "i");
    });
  return (text) => patterns.length === 0 || patterns.some((pattern) => pattern.test(text));
}

function isOfState(state, chosen) {
  return !chosen || state === chosen || (chosen === "deviates" && (state === "fail" || state === "error"));
}

/** Return the cells that the filters leave: backends and cases by number, and the questions of each case. */
function selected(filters) {
  const [isBackend, isCase] = [wanted(filters.backend), wanted(filters.case)];
  const isRank = RANKS[filters.rank] ?? (() => true);
  const isSetting = SETTINGS[filters.setting] ?? (() => true);
  const kept = (number) => {
    const [, op, dtype] = data.questions[number];
    return (!filters.op || op === filters.op) && (!filters.dtype || dtype === filters.dtype);
  };
  const backends = [...data.backends.keys()].filter((number) => isBackend(data.backends[number].label));
  const rows = [];
  const seen = new Set();
  data.cases.forEach((one, number) => {
    if (!isCase(one.id) || !isRank(one) || (filters.setting && !(one.spec && isSetting(one.spec, one)))) return;
    const questions = questionsOf[number].filter(kept);
    const answered = backends.filter((backend) =>
      questions.some((question) => isOne(backend, question, filters.state)),
    );
    if (answered.length === 0) return;
    answered.forEach((backend) => seen.add(backend));
    rows.push({ number, questions });
  });
  return { backends: backends.filter((backend) => seen.has(backend)), rows, state: filters.state };
}

function isOne(backend, question, state) {
  const answer = data.cells[backend][question];
  return answer >= 0 && isOfState(data.answers[answer][0], state);
}

const form = document.getElementById("filters");
const NAMES = ["backend", "case", "rank", "setting", "op", "dtype", "state"];

function options(name, any, values) {
  const entries = [["", any], ...values.map((value) => (Array.isArray(value) ? value : [value, value]))];
  form.elements[name].append(...entries.map(([value, text]) => make("option", { value }, text)));
}

/** Fill the form, and call `changed` whenever it changes. */
function startFilters(changed) {
  options("rank", "any", Object.keys(RANKS));
  options("setting", "any", Object.keys(SETTINGS));
  options(
    "op",
    "any",
    data.ops.filter((op) => data.questions.some((question) => question[1] === op)),
  );
  options(
    "dtype",
    "any",
    data.dtypes.filter((dtype) => data.questions.some((question) => question[2] === dtype)),
  );
  options("state", "any", [
    ["pass", "conforms"],
    ["deviates", "deviates"],
    ["unsupported", "unsupported"],
    ["not_run", "not run"],
  ]);
  document
    .getElementById("backend-names")
    .append(...data.backends.map((backend) => make("option", { value: backend.label })));
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed));
}

function filterValues() {
  return Object.fromEntries(NAMES.map((name) => [name, form.elements[name].value]));
}

function setFilters(values) {
  for (const name of NAMES) form.elements[name].value = values[name] ?? "";
}
