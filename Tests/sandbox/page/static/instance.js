/* Instance: the form of Settings > Integrations, drawn from the descriptor. */

import { get, isChanged, post } from "./api.js";
import {
  busy,
  button,
  confirmed,
  copyButton,
  count,
  fill,
  h,
  messagePlace,
  openDialog,
  panel,
  showMessage,
} from "./dom.js";
import { markdown } from "./markdown.js";

const PLATFORM = "XSOAR_ON_PREM"; // what the sandbox stands in for
const KEPT = "It is set; leave it empty to keep it.";

/** Fill the section with the form and the description. */
export function instanceView(section, app) {
  const fields = h("div", { class: "stack" });
  const message = messagePlace({ id: "instance-message" });
  const changed = h("p", { class: "muted", id: "changed" });
  const test = button("Test", () => busy(test, message, testNow), { id: "test" });
  const save = button("Save & restart", () => busy(save, message, saveNow), { class: "primary", id: "save" });
  const copy = button("Copy for XSOAR", () => busy(copy, message, openCopy), { class: "quiet", id: "copy-parameters" });
  const importing = button("Import", openImport, { class: "quiet", id: "import" });
  const reset = button("Reset", () => busy(reset, message, resetNow), { class: "quiet", id: "reset" });
  const discard = button("Discard", draw, { class: "quiet", id: "discard" });
  const description = h("div", { class: "prose" });
  let controls = [];

  const values = () =>
    Object.fromEntries(controls.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined));
  const differing = () => controls.filter(({ isChanged }) => isChanged());

  function draw() {
    const { parameters, sections } = app.instance;
    controls = parameters.map(control);
    const groups = [
      ...sections,
      ...new Set(parameters.map((parameter) => parameter.section).filter((name) => !sections.includes(name))),
    ];
    fill(
      fields,
      groups.map((name) =>
        group(
          name,
          controls.filter((one) => one.parameter.section === name),
        ),
      ),
    );
    save.disabled = !app.instance.canRestart;
    showChanged();
  }

  function showChanged() {
    const number = differing().length;
    changed.textContent = !app.instance.canRestart
      ? "This instance cannot be restarted from here."
      : number
        ? `${count(number, "change")} not saved`
        : "";
    discard.hidden = !number;
    for (const { element, isChanged } of controls) element.classList.toggle("changed", isChanged());
  }

  async function testNow() {
    showMessage(message, "Testing");
    const { ok, text } = await post("/api/instance/test", { params: values() });
    showMessage(message, ok && text === "ok" ? "Success: test-module says ok." : text, ok ? "ok" : "bad");
  }

  async function saveNow() {
    const number = differing().length;
    showMessage(message, "Restarting the container");
    await post("/api/instance", { params: values() });
    await app.readInstance();
    showMessage(message, number ? `Restarted with ${count(number, "changed parameter")}.` : "Restarted.", "ok");
  }

  async function resetNow() {
    const lost = "All parameters get their defaults, and what was saved is forgotten. Requests and incidents stay.";
    if (!(await confirmed("Reset all parameters?", lost, "Reset & restart"))) return;
    showMessage(message, "Restarting the container");
    await post("/api/instance/reset");
    await app.readInstance();
    showMessage(message, "Restarted with the defaults.", "ok");
  }

  async function openCopy() {
    const { list, yaml } = await get("/api/instance/export");
    openDialog("Copy for XSOAR", [
      h("p", {}, list ? "What differs from the defaults, without passwords." : "All parameters have their defaults."),
      differing().length ? h("p", {}, "Unsaved changes are not included.") : null,
      list ? [copied("To type into XSOAR's form", list), copied("YAML, for Import", yaml)] : null,
    ]);
  }

  function openImport() {
    const text = h("textarea", { id: "import-text", rows: "10", spellcheck: "false", "aria-describedby": "import-help" });
    const problem = messagePlace();
    const start = button("Import & restart", () => busy(start, problem, importNow), { class: "primary" });
    const dialog = openDialog(
      "Import parameters",
      [
        differing().length ? h("p", {}, "Unsaved changes are lost.") : null,
        h(
          "div",
          { class: "field" },
          h("label", { for: text.id }, "YAML, or a list of names and values"),
          h("p", { class: "help", id: "import-help" }, "Parameters that are not in it stay as they are."),
          text,
        ),
        problem,
      ],
      { buttons: start, close: "Cancel" },
    );
    async function importNow() {
      showMessage(problem, "Restarting the container");
      const { parameters } = await post("/api/instance/import", { text: text.value });
      await app.readInstance();
      dialog.close();
      showMessage(message, `Restarted with ${count(parameters, "imported parameter")}.`, "ok");
    }
    text.focus();
  }

  fields.addEventListener("input", showChanged);
  app.addEventListener("instance", draw);
  draw();
  fill(description, markdown(app.instance.description, { platform: PLATFORM, level: 4 }));
  section.append(
    h(
      "div",
      { class: "two-panes wide-left" },
      h(
        "form",
        { class: "form", "aria-label": "Parameters of the instance", on: { submit: (event) => event.preventDefault() } },
        panel(
          `${app.instance.integration}: instance ${app.instance.name}`,
          { id: "instance-form", tools: [copy, importing, reset] },
          fields,
          h("div", { class: "actions bar" }, test, save, discard, changed, message),
        ),
      ),
      panel("Help", { id: "instance-help", className: "help-panel" }, description),
    ),
  );
}

/** Return a text with its title and a button that copies it. */
function copied(title, text) {
  const shown = h("pre", { class: "block", tabindex: "0", role: "region", "aria-label": title }, text);
  return h(
    "section",
    { class: "copied" },
    h("div", { class: "panel-head" }, h("h3", {}, title), copyButton(() => text, `Copy: ${title}`)),
    shown,
  );
}

/** Return the fieldset of a section, its advanced parameters folded. */
function group(name, controls) {
  const basic = controls.filter(({ parameter }) => !parameter.advanced);
  const advanced = controls.filter(({ parameter }) => parameter.advanced);
  const changed = advanced.filter(({ parameter }) => isChanged(parameter)).length;
  return h(
    "fieldset",
    {},
    h("legend", {}, name || "Other"),
    basic.map(({ element }) => element),
    advanced.length
      ? h(
          "details",
          { class: "fold advanced" },
          h(
            "summary",
            {},
            "Advanced ",
            h("span", { class: "muted" }, count(advanced.length, "parameter"), changed ? `, ${changed} changed` : ""),
          ),
          advanced.map(({ element }) => element),
        )
      : null,
  );
}

// ---- one parameter

/** Return a parameter's element, how to read its value (undefined if it stays as it is) and whether it was changed. */
function control(parameter) {
  const made = (KINDS[parameter.kind] ?? text)(parameter);
  const before = JSON.stringify(made.read());
  return { name: parameter.name, parameter, ...made, isChanged: () => JSON.stringify(made.read()) !== before };
}

const KINDS = {
  text,
  checkbox,
  credentials,
  textarea: (parameter) => entry(parameter, h("textarea", { rows: "4", spellcheck: "false", class: "mono" })),
  secret,
  incidentType,
  select,
  multiselect,
};

function isTrue(value) {
  return value === true || String(value).toLowerCase() === "true";
}

function text(parameter) {
  return entry(parameter, h("input", { type: "text", autocomplete: "off", spellcheck: "false" }));
}

/** Return a control with its label and its help. */
function entry(parameter, input) {
  const id = `p-${parameter.name}`;
  input.id = id;
  input.value = parameter.value ?? "";
  if (parameter.required) input.required = true;
  if (parameter.help) input.setAttribute("aria-describedby", `${id}-help`);
  const label = h(
    "label",
    { for: id },
    parameter.display,
    parameter.required ? h("span", { class: "required" }, " (required)") : null,
  );
  return { element: h("div", { class: "field" }, label, input, help(parameter)), read: () => input.value };
}

function help(parameter) {
  return parameter.help ? h("p", { class: "help", id: `p-${parameter.name}-help` }, parameter.help) : null;
}

function checkbox(parameter) {
  const id = `p-${parameter.name}`;
  const input = h("input", {
    type: "checkbox",
    id,
    checked: isTrue(parameter.value),
    "aria-describedby": parameter.help ? `${id}-help` : null,
  });
  return {
    element: h("div", { class: "field check" }, input, h("label", { for: id }, parameter.display), help(parameter)),
    read: () => input.checked,
  };
}

function passwordInput(id, isSet, describedBy) {
  return h("input", {
    type: "password",
    id,
    autocomplete: "new-password",
    placeholder: isSet ? "set" : "",
    "aria-describedby": describedBy,
  });
}

function credentials(parameter) {
  const id = `p-${parameter.name}`;
  const user = h("input", {
    type: "text",
    id,
    value: parameter.value?.identifier ?? "",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-help`,
  });
  const password = passwordInput(`${id}-password`, parameter.isSet, parameter.isSet ? `${id}-kept ${id}-help` : `${id}-help`);
  const clear = parameter.isSet
    ? h("input", { type: "checkbox", id: `${id}-clear`, on: { change: () => (password.disabled = clear.checked) } })
    : null;
  const element = h(
    "div",
    { class: "field credentials" },
    h(
      "div",
      { class: "line" },
      h("div", {}, h("label", { for: id }, parameter.display), user),
      h("div", {}, h("label", { for: `${id}-password` }, parameter.displayPassword || "Password"), password),
    ),
    parameter.isSet
      ? h(
          "p",
          { class: "help", id: `${id}-kept` },
          `The password is set; leave it empty to keep it. `,
          h("label", { class: "inline" }, clear, " Remove it"),
        )
      : null,
    help(parameter),
  );
  const read = () => ({
    identifier: user.value,
    ...(clear?.checked ? { password: "" } : password.value ? { password: password.value } : {}),
  });
  return { element, read };
}

function secret(parameter) {
  const made = entry(
    { ...parameter, value: "" },
    h("textarea", {
      rows: "2",
      spellcheck: "false",
      autocomplete: "off",
      class: "mono",
      placeholder: parameter.isSet ? "set" : "",
    }),
  );
  const input = made.element.querySelector("textarea");
  const clear = parameter.isSet ? h("input", { type: "checkbox", on: { change: () => (input.disabled = clear.checked) } }) : null;
  if (clear) made.element.append(h("p", { class: "help" }, `${KEPT} `, h("label", { class: "inline" }, clear, " Remove it")));
  return { element: made.element, read: () => (clear?.checked ? "" : input.value || undefined) };
}

function incidentType(parameter) {
  const list = h(
    "datalist",
    { id: `p-${parameter.name}-types` },
    (parameter.options ?? []).map((value) => h("option", { value })),
  );
  const made = entry(parameter, h("input", { type: "text", autocomplete: "off", list: list.id }));
  made.element.append(list);
  return made;
}

function select(parameter) {
  const values = [...new Set([...(parameter.options ?? []), ...(parameter.value ? [parameter.value] : [])])];
  const input = h(
    "select",
    {},
    parameter.required || values.includes(parameter.value) ? null : h("option", { value: "" }, ""),
    values.map((value) => h("option", { value }, value)),
  );
  return entry(parameter, input);
}

function multiselect(parameter) {
  const id = `p-${parameter.name}`;
  const chosen = Array.isArray(parameter.value)
    ? parameter.value
    : String(parameter.value ?? "")
        .split(",")
        .map((one) => one.trim());
  const boxes = (parameter.options ?? []).map((value) =>
    h("input", { type: "checkbox", value, id: `${id}-${value}`, checked: chosen.includes(value) }),
  );
  const element = h(
    "fieldset",
    { class: "field choice", "aria-describedby": parameter.help ? `${id}-help` : null },
    h("legend", {}, parameter.display),
    h(
      "div",
      { class: "line boxes" },
      boxes.map((box) => h("label", { for: box.id }, box, box.value)),
    ),
    help(parameter),
  );
  return { element, read: () => boxes.filter((box) => box.checked).map((box) => box.value) };
}
