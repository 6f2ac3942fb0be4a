/* Try it: send a request, see its answer and what became of it. */

import { get, isChanged, post } from "./api.js";
import { answerLine, answerParts, incidentCard, requestRow, withoutIncident } from "./incident.js";
import { sendersPanel } from "./senders.js";
import { showAnswer } from "./sending.js";
import { announce, busy, button, copyButton, count, debounced, fill, h, messagePlace, panel, showMessage } from "./dom.js";

const NEWEST = 5;
const MAX_CARDS = 10;
const ENDS = ["ends", "repeats the end of"]; // what an event is to the incident whose alert it ends
const FIRST = "documentation"; // the example that stands before the categories
const SETUP = ["longRunning", "longRunningPort"]; // what every instance has

/** Fill the section; returns a function that shows an example by its ID. */
export function tryView(section, app) {
  const outcome = outcomeOf(app);
  const message = messagePlace();
  const form = requestForm(app, forget);
  const send = button("Send", () => busy(send, message, sendNow), { class: "primary", "aria-keyshortcuts": "Control+Enter" });
  form.element.append(h("div", { class: "actions bar" }, send, h("span", { class: "muted wide-only" }, "Ctrl+Enter"), message));
  form.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send.click();
  });

  /** Forget the answer to another example. */
  function forget() {
    outcome.forget();
    showMessage(message, "");
  }

  async function sendNow() {
    showMessage(message, "Sending");
    const answer = await post("/api/send", form.request());
    showAnswer(message, answer);
    await outcome.show(answer);
  }

  section.append(
    h(
      "div",
      { class: "two-panes" },
      h(
        "div",
        { class: "stack" },
        panel("Request", { id: "try-request" }, form.element),
        panel("The same with curl", { id: "try-curl", className: "later", tools: [form.copyCurl] }, form.curl),
      ),
      h(
        "div",
        { class: "stack" },
        panel("What became of it", { id: "try-outcome" }, outcome.element),
        panel("Newest requests", { id: "try-newest", tools: [h("a", { href: "#/requests" }, "All requests")] }, newest(app)),
      ),
    ),
    sendersPanel(),
  );
  return (example) => form.open(example);
}

// ---- what became of it

/** Return a place for an answer and its incidents; it follows what becomes of them. */
function outcomeOf(app) {
  const element = h("div", { class: "stack" });
  const message = messagePlace();
  const end = button("Send it again as resolved", () => busy(end, message, endNow));
  const actions = h("div", { class: "actions" }, end, message);
  let answer = null;
  let found = null; // the request, as the page keeps it

  function forget() {
    answer = found = null;
    fill(element, h("p", { class: "hint" }, "Press Send: the answer and the incident appear here."));
  }

  async function show(given) {
    answer = given;
    found = null;
    showMessage(message, "");
    fill(element, answerLine(answer), answerParts(answer, true));
    if (answer.requestId === null) return;
    await read();
    announce(`Answered ${answer.status}, ${count(created(found), "incident")} created.`);
  }

  async function read() {
    const now = await get(`/api/requests/${answer.requestId}`);
    if (now.id !== answer?.requestId) return; // another one was sent meanwhile
    found = now;
    end.hidden = !found.incidents.some(isOpenAlert);
    fill(
      element,
      answerLine(answer, found.error),
      created(found) ? h("p", { class: "became-line" }, `${count(created(found), "incident")} created.`) : null,
      withoutIncident(found),
      end.hidden && !message.textContent ? null : actions,
      found.incidents.slice(0, MAX_CARDS).map((incident) => incidentCard(incident)),
      answerParts(answer, true),
    );
  }

  /** Send the request as its sender reports the end of its alerts. */
  async function endNow() {
    showAnswer(message, await post(`/api/requests/${found.id}/end`));
    await read();
  }

  app.events.listen("incident", ({ id }) => {
    if (found?.incidents.some((incident) => incident.id === id)) read().catch((error) => announce(error.message));
  });
  return { element, show, forget };
}

function created({ incidents }) {
  return incidents.filter(({ isTo }) => !isTo).length;
}

/** Return whether an incident is that of an alert that has not ended, and the request did not end it. */
function isOpenAlert({ raw, ended, isTo }) {
  const facts = raw?.request_webhook ?? raw?.webhook;
  return facts?.status === "open" && !ended && !ENDS.includes(isTo);
}

// ---- the form

function requestForm(app, changed) {
  const example = h("select", { id: "try-example" });
  const search = h("input", {
    type: "search",
    id: "try-search",
    placeholder: "Search, for example Okta",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Search the examples",
  });
  const method = h("input", { id: "try-method", value: "POST", spellcheck: "false", autocomplete: "off", size: "7" });
  const path = h("input", { id: "try-path", spellcheck: "false", autocomplete: "off" });
  const headers = h("textarea", { id: "try-headers", rows: "2", spellcheck: "false", "aria-describedby": "try-headers-help" });
  const body = h("textarea", { id: "try-body", rows: "8", spellcheck: "false" });
  const sign = h("input", { type: "checkbox", id: "try-sign", checked: true, "aria-describedby": "try-sign-help" });
  const suggestion = h("div", { class: "suggestion", hidden: true });
  const secret = h("p", { class: "help", hidden: true });
  const curl = h("pre", { class: "block wrapped", tabindex: "0", role: "region", "aria-label": "curl line" });
  let examples = [];
  let categories = {}; // by the example's ID
  let chosen = null;

  const element = h(
    "form",
    { class: "form", on: { submit: (event) => event.preventDefault() } },
    h("div", { class: "field" }, h("label", { for: example.id }, "Example"), search, example),
    suggestion,
    h("div", { class: "line" }, field("Method", method), field("Path", path)),
    field("Headers", headers, "One header per line, as Name: value."),
    field("Body", body),
    h(
      "div",
      { class: "check" },
      sign,
      h("label", { for: "try-sign" }, "Add the instance's credentials"),
      h(
        "p",
        { class: "help", id: "try-sign-help" },
        "Basic authentication, a token, or a signature of this body: of several credentials, those of this sender. ",
        "The answer says which ones were used; their secret never reaches this page.",
      ),
    ),
  );
  const refresh = debounced(writeCurl, 250);
  for (const control of [method, path, headers, body, sign]) control.addEventListener("input", refresh);
  example.addEventListener("change", () => {
    search.value = "";
    location.hash = `#/try/${encodeURIComponent(example.value)}`;
    fillExamples();
  });
  search.addEventListener("input", fillExamples);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !example.options.length || !search.value.trim()) return;
    example.selectedIndex = 0;
    example.dispatchEvent(new Event("change"));
  });
  app.addEventListener("instance", suggest);
  const ready = load();

  async function load() {
    examples = await get("/api/examples");
    fillExamples();
    get("/api/examples/categories").then(
      (found) => {
        categories = found;
        fillExamples();
        suggest();
      },
      (error) => announce(error.message),
    );
  }

  /** Offer the examples that have the words of the search field, as an open list while there are any. */
  function fillExamples() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const before = example.value || chosen?.id;
    const found = examples.filter((one) => {
      const text = `${one.sender} ${one.title} ${categories[one.id] ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const first = found.filter(({ id }) => id === FIRST).map((one) => h("option", { value: one.id }, one.sender));
    const others = found.filter(({ id }) => id !== FIRST);
    const groups = [...Map.groupBy(others, (one) => categories[one.id] ?? "")].map(([category, members]) => {
      const options = members.map((one) => h("option", { value: one.id }, label(one, examples)));
      options.sort((one, other) => one.text.localeCompare(other.text, "en", { sensitivity: "base" }));
      return h("optgroup", { label: category || "Other" }, options);
    });
    groups.sort((one, other) => (one.label === "Other") - (other.label === "Other") || one.label.localeCompare(other.label, "en"));
    fill(example, first, groups);
    example.size = words.length ? Math.max(2, Math.min(10, found.length + groups.length)) : 1;
    example.value = before;
  }

  async function open(id) {
    await ready.catch((error) => announce(error.message));
    const wanted = examples.find((one) => String(one.id) === id) ?? (path.value ? null : examples[0]);
    if (!wanted) return;
    chosen = wanted;
    changed();
    example.value = chosen.id;
    method.value = chosen.method;
    path.value = chosen.path;
    headers.value = chosen.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
    body.value = chosen.body;
    suggest();
    await writeCurl();
  }

  /** Offer the parameters that suit an example best; what other examples set gets its default again. */
  function suggest() {
    const wanted = Object.entries(chosen?.params ?? {}).filter(([name]) => app.parameter(name));
    const used = new Set(examples.flatMap(({ params }) => Object.keys(params)));
    const others = app.instance.parameters.filter(({ name }) => !Object.hasOwn(chosen?.params ?? {}, name) && isChanged(app.parameter(name)));
    const resets = wanted.length ? others.filter(({ name }) => used.has(name)) : [];
    const stays = others.filter((one) => !resets.includes(one) && !SETUP.includes(one.name));
    const missing = [
      ...wanted.filter(([name, value]) => String(app.parameter(name).value ?? "") !== String(value)),
      ...resets.map((parameter) => [parameter.name, parameter.default]),
    ];
    suggestion.hidden = !wanted.length;
    const message = messagePlace();
    const use = button("Use them", () =>
      busy(use, message, async () => {
        showMessage(message, "Restarting the instance");
        await post("/api/instance", { params: app.paramsWith(Object.fromEntries(missing)) });
        await app.readInstance();
        changed();
        announce("The instance runs with these parameters.");
      }),
    );
    fill(
      suggestion,
      h(
        "p",
        {},
        missing.length
          ? `Parameters that fit ${chosen.sender || "this sender"}`
          : `The instance has the parameters that fit ${chosen?.sender || "this sender"}.`,
      ),
      h(
        "dl",
        {},
        wanted.map(([name, value]) => [h("dt", {}, app.parameter(name).display), h("dd", {}, h("code", {}, String(value)))]),
      ),
      missing.length && categories[chosen.id] && app.parameter("recognize")?.value !== "off"
        ? h("p", {}, "The instance also reads this request without them: Recognize senders is on.")
        : null,
      resets.length ? h("p", {}, "Set to their defaults: ", named(resets), ".") : null,
      missing.length && stays.length ? h("p", {}, "Left in place: ", named(stays), ".") : null,
      chosen?.signature
        ? h("p", {}, "This sender signs: its Username, or its line in More credentials, begins with ", h("code", {}, chosen.signature), ".")
        : null,
      missing.length
        ? h("div", { class: "actions" }, use, h("span", { class: "muted" }, "restarts the instance"), message)
        : null,
    );
  }

  function request() {
    return {
      method: method.value.trim() || "POST",
      path: path.value.trim(),
      headers: headerLines(headers.value),
      body: body.value,
      sign: sign.checked,
    };
  }

  async function writeCurl() {
    let sentWith = "";
    try {
      ({ curl: curl.textContent, sentWith } = await post("/api/curl", request()));
    } catch (error) {
      curl.textContent = error.message;
    }
    secret.hidden = !curl.textContent.includes("WEBHOOK_SECRET");
    secret.textContent = `First set WEBHOOK_SECRET to the password or secret of ${sentWith}.`;
  }

  const copyCurl = copyButton(() => curl.textContent, "Copy the curl line");
  return { element, curl: [secret, curl], copyCurl, request, open };
}

/** Return parameters with their values, for a sentence. */
function named(parameters) {
  return parameters.map(({ display, kind, value }, index) => {
    const shown = kind === "credentials" ? value.identifier : kind === "secret" ? "" : String(value);
    return [index ? ", " : "", display, shown ? [" ", h("code", {}, shown)] : null];
  });
}

/** Return the sender's name, with the example's title if a sender has several. */
function label({ sender, title }, all) {
  return title && all.filter((other) => other.sender === sender).length > 1 ? `${sender}: ${title}` : sender;
}

function field(label, control, help = "") {
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, label),
    help ? h("span", { class: "help", id: `${control.id}-help` }, help) : null,
    control,
  );
}

/** Return lines of headers as pairs; a line without a colon is a header without a value. */
function headerLines(text) {
  return text
    .split("\n")
    .filter((line) => line.trim())
    .map((line) => {
      const colon = line.indexOf(":", 1);
      return colon < 0 ? [line.trim(), ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
}

// ---- the newest requests

/** Return a short list that shows every request as it arrives, from any sender. */
function newest(app) {
  const list = h("ul", { class: "rows" });
  const empty = h("p", { class: "hint" }, "Everything that is posted to the URL above appears here, from your own tools too.");
  const show = () => (empty.hidden = list.children.length > 0);
  const read = async () => {
    const found = await get("/api/requests", { limit: NEWEST }).catch(() => null);
    if (found)
      fill(
        list,
        found.requests.map((row) => h("li", {}, requestRow(row))),
      );
    show();
  };
  app.events.listen("request", (row) => {
    list.prepend(h("li", {}, requestRow(row)));
    while (list.children.length > NEWEST) list.lastElementChild.remove();
    show();
  });
  app.events.listen("more", read);
  app.events.whenOpen(read);
  app.addEventListener("reset", read);
  return [empty, list];
}
