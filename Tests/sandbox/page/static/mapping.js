/* Mapping: a click on a value in a sample puts its path into a parameter, and the last requests show the change. */

import { get, post } from "./api.js";
import { recognition, severityTag, sourceText } from "./incident.js";
import { announce, busy, button, clock, count, debounced, fill, h, messagePlace, panel, showMessage, throttled } from "./dom.js";
import { tree } from "./tree.js";

const PICKED = ["name_from", "severity_from", "duplication_key", "events_path", "occurred_from", "type_from"];
const TYPED = ["severity_map"]; // these are not paths
const OF_REQUEST = ["headers", "query", "path", "source_address"]; // what each incident holds of its request
const NO_PATH = /[,+[\]{}]|^$|^\s|\s$/; // such keys cannot be written in a path
const EVENTS = "events_path";
const SAMPLES = "store_samples";
const TRIES = 5; // the instance stores its samples every few seconds
const AGAIN_MS = 2500;

/** Fill the section. */
export function mappingView(section, app) {
  const form = mappingForm(app, changed);
  const samples = samplePanel(app, form);
  const preview = previewPanel(app, form);
  function changed() {
    samples.draw();
    preview.refresh();
  }
  section.append(
    h("div", { class: "two-panes" }, samples.element, h("div", { class: "side" }, form.element, preview.element)),
  );
  return () => {
    preview.refresh();
    samples.firstTime();
  };
}

// ---- the parameters

/** The parameters as inputs, each with a radio button that makes it the goal of the next click. */
function mappingForm(app, changed) {
  const names = PICKED.filter((name) => app.parameter(name));
  const inputs = new Map();
  const rows = h("div", { class: "goals", role: "radiogroup", "aria-label": "Parameter that a click fills" });
  const join = h("input", { type: "checkbox", id: "map-join" });
  const message = messagePlace();
  const save = button("Save & restart", () => busy(save, message, saveNow), { class: "primary", id: "map-save" });
  const undo = button("Discard", draw, { class: "quiet" });
  let goal = names[0];

  function draw() {
    fill(rows, names.map(goalRow), TYPED.filter((name) => app.parameter(name)).map(typedRow));
    showChanges();
    changed();
  }

  function goalRow(name) {
    const radio = h("input", {
      type: "radio",
      name: "goal",
      value: name,
      id: `goal-${name}`,
      checked: name === goal,
      on: { change: () => choose(name) },
    });
    return h("div", { class: "goal" }, radio, h("label", { for: radio.id }, app.parameter(name).display), input(name));
  }

  function typedRow(name) {
    return h("div", { class: "goal" }, h("span"), h("span", { class: "label" }, app.parameter(name).display), input(name));
  }

  function input(name) {
    const made = h("input", {
      type: "text",
      id: `map-${name}`,
      class: "mono",
      value: app.parameter(name).value ?? "",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": app.parameter(name).display,
    });
    made.addEventListener("input", edited);
    inputs.set(name, made);
    return made;
  }

  function choose(name) {
    goal = name;
    changed();
  }

  const changesNow = () =>
    Object.fromEntries(
      [...inputs]
        .filter(([name, made]) => made.value !== String(app.parameter(name).value ?? ""))
        .map(([name, made]) => [name, made.value]),
    );

  function edited() {
    showChanges();
    changed();
  }

  function showChanges() {
    const changes = changesNow();
    for (const [name, made] of inputs) made.closest(".goal").classList.toggle("changed", name in changes);
    save.disabled = undo.hidden = !Object.keys(changes).length;
  }

  /** Put a path into the parameter that is the goal, or add it to the existing paths. */
  function pick(path) {
    const made = inputs.get(goal);
    const before = made.value.trim();
    made.value = join.checked && before ? before + (goal === "duplication_key" ? "+" : ", ") + path : path;
    announce(`${app.parameter(goal).display}: ${made.value}`);
    edited();
  }

  async function saveNow() {
    showMessage(message, "Restarting the instance");
    await post("/api/instance", { params: app.paramsWith(changesNow()) });
    await app.readInstance();
    showMessage(message, "The instance runs with this mapping.", "ok");
  }

  app.addEventListener("instance", draw);
  queueMicrotask(draw); // the form exists then
  const element = panel(
    "Parameters",
    { id: "map-parameters" },
    h("p", { class: "hint" }, "Choose a parameter, then click a value in a sample."),
    rows,
    h(
      "div",
      { class: "actions" },
      save,
      undo,
      h("label", { class: "inline" }, join, " Add to the existing paths"),
      message,
    ),
  );
  /** Return the names of the parameters that use a path. */
  function uses(path) {
    return names
      .filter((name) => pathsIn(inputs.get(name)?.value ?? "").includes(path))
      .map((name) => app.parameter(name).display);
  }

  return { element, pick, uses, changes: changesNow, goal: () => goal, value: (name) => inputs.get(name)?.value ?? "" };
}

/** Return the paths in a parameter's text: those in braces if there are any. */
function pathsIn(text) {
  const braces = [...text.matchAll(/\{([^{}]*)\}/g)].map(([, inside]) => inside);
  return (braces.length ? braces.join(",") : text).split(/[,+]/).map((path) => path.trim());
}

// ---- the samples

function samplePanel(app, form) {
  const place = h("div", { class: "stack", id: "samples" });
  const message = messagePlace();
  const fetchThem = button("Fetch samples", () => busy(fetchThem, message, fetchNow), { id: "fetch" });
  const turnOn = button("Turn samples on & restart", () => busy(turnOn, message, turnOnNow), { hidden: true });
  let samples = [];
  let asked = false;
  let chosen = 0;
  let triesLeft = 0;
  let drawn = "";

  const kept = () => !app.parameter(SAMPLES) || String(app.parameter(SAMPLES).value) === "true";

  async function fetchNow() {
    asked = true;
    triesLeft = TRIES;
    showMessage(message, "Running fetch-incidents");
    await fetchOnce();
  }

  /** Run fetch-incidents; repeat it soon if the instance keeps samples and has stored none yet. */
  async function fetchOnce() {
    const found = await post("/api/samples");
    samples = found.samples;
    chosen = 0;
    turnOn.hidden = samples.length > 0 || kept();
    showMessage(message, samples.length ? count(samples.length, "sample") : found.hint, samples.length ? "ok" : "");
    draw();
    triesLeft -= 1;
    if (!samples.length && kept() && triesLeft > 0) setTimeout(() => busy(fetchThem, message, fetchOnce), AGAIN_MS);
  }

  async function turnOnNow() {
    showMessage(message, "Restarting the instance");
    await post("/api/instance", { params: app.paramsWith({ [SAMPLES]: true }) });
    await app.readInstance();
    turnOn.hidden = true;
    showMessage(message, "Samples are kept from now on. Send a request, then fetch again.", "ok");
  }

  /** Redraw the sample if it or its clickable values changed; otherwise only mark which values are used. */
  function draw() {
    const wanted = JSON.stringify([chosen, samples, form.goal() === EVENTS, form.value(EVENTS)]);
    if (wanted === drawn) return void markUses(place, form);
    drawn = wanted;
    if (!samples.length) return void fill(place);
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    const choice = h(
      "select",
      { id: "sample", on: { change: () => choose(choice.selectedIndex) } },
      samples.map(({ name }, index) => h("option", { value: index }, `${index + 1}. ${name}`)),
    );
    choice.value = String(chosen);
    fill(
      place,
      h("div", { class: "field" }, h("label", { for: "sample" }, "Sample"), choice),
      sampleTree(samples[chosen].raw, form),
    );
    markUses(place, form);
    if (focused) [...place.querySelectorAll(".pick")].find((one) => one.dataset.place === focused)?.focus();
  }

  function choose(index) {
    chosen = index;
    draw();
    document.getElementById("sample").focus();
  }

  const element = panel("Samples", { id: "map-samples", tools: [turnOn, fetchThem] }, message, place);
  return { element, draw, firstTime: () => void (asked || fetchThem.click()) };
}

/** Return a sample's tree in which what the goal can use is a button. */
function sampleTree(raw, form) {
  const eventsPath = form.value(EVENTS);
  const array = form.goal() === EVENTS;
  const pickButton = (path, content) => {
    const written = array ? path.join(".") : pathOf(path, raw, eventsPath);
    const made = button(content, () => form.pick(written), {
      class: "pick",
      title: written,
      "data-path": written,
      "data-place": JSON.stringify(path),
    });
    const uses = h("span", { class: "uses" });
    made.mark = () =>
      fill(
        uses,
        form.uses(written).map((name) => h("span", { class: "tag use" }, name)),
      );
    made.mark();
    return [made, uses];
  };
  const usable = (path) => !path.some((key) => NO_PATH.test(String(key)));
  return tree(raw, {
    depth: 4,
    label: "Sample",
    leaf: (path, value, text) => (!array && value !== null && usable(path) ? pickButton(path, text) : text),
    branch: (path, value) => (array && Array.isArray(value) && usable(path) ? pickButton(path, "Use this array") : null),
  });
}

/** Show next to each value which parameters use it. */
function markUses(place, form) {
  for (const pick of place.querySelectorAll(".pick")) pick.mark();
}

/** Return how a place in a sample is written, seen from one event if Events in finds its array in the sample. */
export function pathOf(path, raw, eventsPath) {
  const events = eventsPath
    .split(",")
    .map((one) => one.trim())
    .find((one) => one && Array.isArray(at(raw, one)));
  if (!events) return path.join(".");
  const steps = events.split(".");
  if (steps.every((step, index) => step === String(path[index]))) return path.slice(steps.length + 1).join(".") || path.join(".");
  return OF_REQUEST.includes(path[0]) ? path.join(".") : ["parent", ...path].join(".");
}

function at(value, path) {
  return path.split(".").reduce((found, step) => (found === null || typeof found !== "object" ? undefined : found[step]), value);
}

// ---- what the last requests would have become

const SHOWN = [
  ["type", "Type"],
  ["occurred", "Occurred"],
  ["duplicationKey", "Duplication key"],
];

function previewPanel(app, form) {
  const place = h("div", { class: "stack", id: "preview" });
  const note = messagePlace();
  let turn = 0;

  async function show() {
    const mine = ++turn;
    try {
      const [now, then] = await Promise.all([
        post("/api/preview", { params: {} }),
        post("/api/preview", { params: form.changes() }),
      ]);
      if (mine !== turn) return;
      draw(now.requests, then.requests);
    } catch (error) {
      if (mine === turn) showMessage(note, error.message, "bad");
    }
  }

  function draw(now, then) {
    const before = new Map(now.map((request) => [request.id, request]));
    const different = then.filter((request) => JSON.stringify(request) !== JSON.stringify(before.get(request.id))).length;
    showMessage(
      note,
      !then.length
        ? "No requests yet: send some from Try it."
        : different
          ? `${different} of ${count(then.length, "request")} would change.`
          : `The last ${count(then.length, "request")}, as the instance reads them now.`,
    );
    fill(
      place,
      then.map((request) => previewed(request, before.get(request.id))),
    );
  }

  const refresh = debounced(show, 200);
  const refreshLive = throttled(show, 1000);
  app.events.listen("request", () => document.getElementById("view-mapping").hidden || refreshLive());
  app.addEventListener("reset", refresh);
  const element = panel("What the last requests become", { id: "map-preview" }, note, place);
  return { element, refresh };
}

/** Return a request with its incidents; differences from `before` are marked. */
function previewed(request, before) {
  const incidents = request.incidents.slice(0, 5);
  return h(
    "article",
    { class: "previewed" },
    h(
      "header",
      {},
      h("h4", {}, h("a", { href: `#/requests/${request.id}` }, `Request ${request.id}`)),
      h("span", { class: "muted" }, request.time ? clock(request.time) : "", " ", count(request.incidents.length, "incident")),
    ),
    request.error ? h("p", { class: "sentence text" }, request.error) : null,
    incidents.map((incident, index) => previewedIncident(incident, before?.incidents[index])),
    request.incidents.length > incidents.length
      ? h("p", { class: "muted" }, `and ${request.incidents.length - incidents.length} more`)
      : null,
  );
}

function previewedIncident(incident, before) {
  const changed = (field) => before && JSON.stringify(before[field] ?? "") !== JSON.stringify(incident[field] ?? "");
  const was = (field) =>
    changed(field) ? h("span", { class: "was" }, "was ", h("s", { class: "text" }, String(before[field] || "empty"))) : null;
  const source = (field) =>
    incident.sources?.[field] ? h("span", { class: "source" }, sourceText(incident.sources[field])) : null;
  const fields = h(
    "dl",
    { class: "become" },
    h("dt", {}, "Name"),
    h(
      "dd",
      { class: changed("name") ? "changed" : "" },
      h("strong", { class: "text" }, incident.name),
      was("name"),
      source("name"),
    ),
    h("dt", {}, "Severity"),
    h(
      "dd",
      { class: changed("severity") ? "changed" : "" },
      severityTag(incident.severity ?? 0),
      changed("severity") ? h("span", { class: "was" }, "was ", severityTag(before.severity ?? 0)) : null,
      source("severity"),
    ),
    SHOWN.filter(([field]) => incident[field] || changed(field)).map(([field, label]) => [
      h("dt", {}, label),
      h(
        "dd",
        { class: changed(field) ? "changed" : "" },
        h("span", { class: "text" }, String(incident[field] || "none")),
        was(field),
        source(field),
      ),
    ]),
  );
  return [recognition(incident), fields];
}
