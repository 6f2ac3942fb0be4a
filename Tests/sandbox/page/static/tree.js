/* A JSON value as a folded tree. Children are made when a branch is opened, 200 at a time. */

import { button, h } from "./dom.js";

const AT_ONCE = 200;

/** Return the tree of a value. `depth` levels are open; `leaf(path, value)` and `branch(path, value)` may return a control. */
export function tree(value, { depth = 2, leaf = null, branch = null, label = "JSON" } = {}) {
  const settings = { leaf, branch };
  if (!isBranch(value)) return h("div", { class: "tree" }, leafText(value, [], settings));
  return h("ul", { class: "tree", "aria-label": label }, children(value, [], depth, settings));
}

function isBranch(value) {
  return value !== null && typeof value === "object";
}

/** Return the list items of a branch, the last one a button if there are more. */
function children(value, path, depth, settings, from = 0) {
  const entries = Array.isArray(value)
    ? value.slice(from, from + AT_ONCE).map((item, index) => [from + index, item])
    : Object.entries(value).slice(from, from + AT_ONCE);
  const items = entries.map(([key, item]) => node(key, item, [...path, key], depth, settings));
  const rest = (Array.isArray(value) ? value.length : Object.keys(value).length) - from - entries.length;
  if (rest > 0) {
    const more = h("li", {});
    more.append(
      button(
        `Show ${Math.min(rest, AT_ONCE)} of ${rest} more`,
        () => more.replaceWith(...children(value, path, depth, settings, from + AT_ONCE)),
        { class: "quiet" },
      ),
    );
    items.push(more);
  }
  if (!items.length) items.push(h("li", { class: "muted" }, "empty"));
  return items;
}

function node(key, value, path, depth, settings) {
  const name = h("span", { class: "key" }, String(key));
  if (!isBranch(value)) return h("li", { class: "leaf" }, name, ": ", leafText(value, path, settings));
  const list = h("ul");
  const details = h("details", {}, h("summary", {}, name, " ", h("span", { class: "muted" }, summary(value))), list);
  const unfold = () => {
    if (details.open && !list.firstChild) list.append(...children(value, path, depth - 1, settings));
  };
  details.addEventListener("toggle", unfold);
  details.open = depth > 1;
  unfold();
  return h("li", { class: "branch" }, settings.branch?.(path, value), details);
}

function summary(value) {
  const number = Array.isArray(value) ? value.length : Object.keys(value).length;
  return Array.isArray(value) ? `[${number}]` : `{${number}}`;
}

function leafText(value, path, settings) {
  const kind = value === null ? "null" : typeof value;
  const text = h("span", { class: `value ${kind}` }, kind === "string" ? JSON.stringify(value) : String(value));
  return settings.leaf?.(path, value, text) ?? text;
}
