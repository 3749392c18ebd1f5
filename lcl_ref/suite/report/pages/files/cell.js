// The part of the page that an address opens: what was asked, the picture, what came of it, how to ask again.

const dialog = document.getElementById("cell");
const VERDICTS = {
  pass: "conforms",
  fail: "deviates",
  error: "gives no answer",
  unsupported: "unsupported",
  not_run: "not run",
};

function askedPart(one, layer) {
  const known = one.why
    ? [make("p", {}, `${one.why} (SPEC ${one.clauses.join(", ")})`)]
    : [make("p", {}, "What this case asks is not known here: the report is of other golden data.")];
  const how =
    { rounded: "Real numbers: right within a proved limit.", complex: "Complex whole numbers: bit for bit." }[
      one.values
    ] ?? "Whole numbers: bit for bit.";
  return make(
    "section",
    {},
    make("h3", {}, "What was asked"),
    ...known,
    one.values ? make("p", {}, how) : null,
    ...(layer ? [settingsPart(one.spec), make("h3", {}, "Shapes"), shapesPart(layer, one.batch)] : []),
  );
}

function answerPart(answer, element) {
  const rows = [];
  if (element) {
    const place = Object.entries(element.index)
      .map(([axis, at]) => `${axis}=${at}`)
      .join(", ");
    rows.push(["worst element", `${element.result}[${place}]`], ["got", element.got], ["expected", element.expected]);
    rows.push(
      ["limit", element.limit ?? "every bit must agree"],
      ["wrong", `${element.wrong} of ${element.of} elements`],
    );
  }
  if (answer.ratio !== null && (answer.state === "pass" || element?.limit))
    rows.push(["error / limit", answer.ratio === 0 ? "0, exact" : answer.ratio.toPrecision(3)]);
  if (answer.kind) rows.push(["kind of error", answer.kind]);
  const reason = { unsupported: "Reason: ", not_run: "Reason: ", pass: "Note: " }[answer.state] ?? "";
  const said = element ? element.rest : answer.message;
  const text = said ? make("p", {}, reason + said) : null;
  return make("section", {}, make("h3", {}, "What came of it"), facts(rows), text, ...mistakePart(answer.mistake));
}

function mistakePart(mistake) {
  if (!mistake) return [];
  const known = Object.entries(data.mistakes).filter(([name]) => mistake.includes(name));
  const told = known.map(([name, [sentence, remedy]]) =>
    make("p", {}, make("strong", {}, name), `: ${sentence}. To mend: ${remedy}`),
  );
  return [make("h3", {}, "The mistake"), ...(told.length ? told : [make("p", {}, mistake)])];
}

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function command(...words) {
  const text = words.map(quoted).join(" ");
  const button = make("button", { type: "button", "aria-label": `Copy: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text).then(
      () => (button.textContent = "Copied"),
      () => (button.textContent = "Select it"),
    );
  });
  return make("div", { class: "command" }, make("pre", {}, make("code", {}, text)), button);
}

function againPart(backend, one, op, dtype, answer) {
  const name = data.backends[backend].name;
  const more = answer.state === "fail" ? [command("lcl", "diagnose", "-b", name)] : [];
  const explained = one.batch !== undefined && !one.id.startsWith("fresh/") ? [command("lcl", "explain", one.id)] : [];
  return make(
    "section",
    {},
    make("h3", {}, "Ask again"),
    command("lcl", "run", "-b", name, "-c", one.id, "--op", op, "--dtype", dtype),
    ...more,
    ...explained,
  );
}

/** Return the other cells of the same backend and case. */
function besidePart(backend, question) {
  const beside = questionsOf[data.questions[question][0]].filter((other) => answerOf(backend, other));
  const links = beside.map((other) => {
    const { state } = answerOf(backend, other);
    const words = `${SIGNS[state]} ${data.questions[other].slice(1).join(" ")}`;
    return make(
      "li",
      {},
      make("a", { href: addressOf(backend, other), "aria-current": other === question ? "true" : null }, words),
    );
  });
  return make("nav", { "aria-label": "Same case" }, make("ul", {}, ...links));
}

/** Open the part of one cell. */
function showCell({ backend, question }) {
  const [number, op, dtype] = data.questions[question];
  const [one, answer] = [data.cases[number], answerOf(backend, question)];
  const layer = one.spec ? layerOf(one.spec) : null;
  const element = answer.state === "fail" ? elementOf(answer.message) : null;
  const title = make(
    "h2",
    { id: "cell-title" },
    `${data.backends[backend].label} · ${one.id} · ${op} · ${dtype} `,
    make("span", { class: `tag ${answer.state}` }, VERDICTS[answer.state]),
  );
  const head = make("header", {}, title, make("button", { type: "button", click: () => dialog.close() }, "Close"));
  const asked = make(
    "div",
    {},
    answerPart(answer, element),
    askedPart(one, layer),
    againPart(backend, one, op, dtype, answer),
  );
  const seen = layer
    ? make("section", {}, make("h3", {}, "Which position sees what"), connectivity(layer, element))
    : null;
  dialog.replaceChildren(head, besidePart(backend, question), make("div", { class: "columns" }, asked, seen));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}
