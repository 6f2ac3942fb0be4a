/* Elements of the page. Everything that others wrote reaches the page as a text node: nothing here parses markup. */

/** Return an element; `on` in the attributes are listeners, true is an empty attribute, null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "value") element.value = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what the element holds by the children. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return a panel with a heading, tools next to it and a body. */
export function panel(title, { tools = [], level = 3, id = null, className = "" } = {}, ...children) {
  const heading = h(`h${level}`, { id }, title);
  return h(
    "section",
    { class: `panel ${className}`.trim(), "aria-labelledby": id },
    h("div", { class: "panel-head" }, heading, h("div", { class: "tools" }, tools)),
    children,
  );
}

/** Return a button. */
export function button(label, listener, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click: listener } }, label);
}

/** Return a place for messages that a screen reader announces as they appear. */
export function messagePlace(attributes = {}) {
  return h("p", { class: "message", role: "status", "aria-live": "polite", ...attributes });
}

/** Show a sentence in a place for messages; the kind is "", "ok" or "bad". */
export function showMessage(place, text, kind = "") {
  place.dataset.kind = kind;
  place.textContent = text;
}

/** Run a slow action of a button: it cannot be pressed twice, and errors are shown. */
export async function busy(pressed, place, action) {
  if (pressed.getAttribute("aria-disabled") === "true") return;
  pressed.setAttribute("aria-disabled", "true");
  try {
    await action();
  } catch (error) {
    showMessage(place, error.message, "bad");
  } finally {
    pressed.removeAttribute("aria-disabled");
  }
}

/** Open a dialog that Escape and its last button close; the focus then returns to where it was. */
export function openDialog(title, content, { buttons = [], close = "Close", onClose = () => {} } = {}) {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title),
    content,
    h("div", { class: "actions" }, buttons, button(close, () => dialog.close(), { class: "quiet" })),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose(dialog.returnValue);
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something is lost; return whether the action's button was pressed. */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    const yes = button(action, () => dialog.close("yes"), { class: "danger" });
    const dialog = openDialog(title, h("p", { id: "dialog-text" }, text), {
      buttons: yes,
      close: "Cancel",
      onClose: (value) => resolve(value === "yes"),
    });
    dialog.setAttribute("aria-describedby", "dialog-text");
    dialog.querySelector("button.quiet").focus(); // Enter alone must lose nothing
  });
}

/** Return a button that copies what `text` returns, which may be a promise. */
export function copyButton(text, label, attributes = {}) {
  const made = button("Copy", () => copyWith(made, text), { class: "quiet", "aria-label": label, ...attributes });
  return made;
}

/** Copy text and say so on the button for a moment. */
export async function copyWith(pressed, text) {
  const before = pressed.dataset.label ?? pressed.textContent;
  pressed.dataset.label = before;
  try {
    await copy(await text());
    pressed.textContent = "Copied";
    announce("Copied");
  } catch (error) {
    pressed.textContent = "Not copied";
    announce(error.message);
  }
  setTimeout(() => (pressed.textContent = before), 1500);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "hidden-text", value: text }); // browsers without the permission
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) throw new Error("The browser does not let this page copy.");
  }
}

/** Let a screen reader say a sentence. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Return a function that runs `action` once it has not been called for `milliseconds`. */
export function debounced(action, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/** Return a function that runs `action` `milliseconds` after a call, once for all calls meanwhile. */
export function throttled(action, milliseconds) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      action();
    }, milliseconds);
  };
}

/** Return a time element of the browser's clock; `text` is RFC 3339 or seconds since the epoch. */
export function clock(text) {
  const date = new Date(typeof text === "number" ? text * 1000 : text);
  if (Number.isNaN(date.getTime())) return String(text ?? "");
  const shown = date.toLocaleTimeString("en-GB");
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString("en-GB") }, shown);
}

/** Return a count with its noun. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Return milliseconds as people read them. */
export function duration(milliseconds) {
  if (typeof milliseconds !== "number") return "";
  return milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}

/** Return bytes as people read them. */
export function size(bytes) {
  if (bytes < 1024) return count(bytes, "byte");
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
