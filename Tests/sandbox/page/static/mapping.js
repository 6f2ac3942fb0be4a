/* Mapping: a click on a value in a sample puts its path into a parameter, and the last requests show the change. */

import { post } from "./api.js";
import { announce, busy, button, fill, h, messagePlace, panel, showMessage } from "./dom.js";
import { previewPanel } from "./become.js";
import { samplePanel } from "./event.js";

const PICKED = ["name_from", "severity_from", "duplication_key", "events_path", "occurred_from", "type_from"];
const TYPED = ["severity_map"]; // these are not paths

/** Fill the section. */
export function mappingView(section, app) {
  const form = mappingForm(app, changed);
  const samples = samplePanel(app, form);
  const preview = previewPanel(app, form, samples.update);
  function changed() {
    samples.draw();
    preview.refresh();
  }
  section.append(
    h("div", { class: "two-panes" }, samples.element, h("div", { class: "side" }, form.element, preview.element)),
  );
  return () => {
    samples.showNewest();
    preview.refresh();
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
    document.getElementById(`goal-${name}`).checked = true;
    announce(`The next click on a value sets ${app.parameter(name).display}`);
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
    h("p", { class: "hint" }, "Choose a parameter, then click a value of the event."),
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

  return { element, pick, choose, uses, changes: changesNow, goal: () => goal, value: (name) => inputs.get(name)?.value ?? "" };
}

/** Return the paths in a parameter's text: those in braces if there are any. */
function pathsIn(text) {
  const braces = [...text.matchAll(/\{([^{}]*)\}/g)].map(([, inside]) => inside);
  return (braces.length ? braces.join(",") : text).split(/[,+]/).map((path) => path.trim());
}
