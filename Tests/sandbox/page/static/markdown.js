/* The part of Markdown that an integration's description uses, as elements. Links lead to https: only; HTML stays text. */

import { h } from "./dom.js";

const FENCE = /^\s*```/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const RULE = /^\s*\|?[\s:|-]*-[\s:|-]*$/;
const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)|\\([\\`*_[\]<>()#|])/;

/** Return the elements of a text; `platform` picks the blocks between <~PLATFORM> and </~PLATFORM>. */
export function markdown(text, { platform = "", level = 3 } = {}) {
  const lines = forPlatform(text, platform).split("\n");
  const top = Math.min(...lines.map((line) => HEADING.exec(line)?.[1].length ?? 6));
  const blocks = [];
  while (lines.length) {
    if (!lines[0].trim()) lines.shift();
    else blocks.push(block(lines, level - top));
  }
  return blocks;
}

/** Return the text without the blocks that are for other platforms. */
export function forPlatform(text, platform) {
  return text.replace(/^<~([A-Z0-9_,\s]+)>\n?([\s\S]*?)^<\/~\1>\n?/gm, (_, names, inside) =>
    names.split(",").some((name) => name.trim() === platform) ? inside : "",
  );
}

/** Remove the lines of one block from the front and return its element. */
function block(lines, shift) {
  if (FENCE.test(lines[0])) return fenced(lines);
  const heading = HEADING.exec(lines[0]);
  if (heading) {
    lines.shift();
    return h(`h${Math.min(6, heading[1].length + shift)}`, {}, inline(heading[2]));
  }
  if (ITEM.test(lines[0])) return list(lines);
  if (lines[0].includes("|") && RULE.test(lines[1] ?? "")) return table(lines);
  return paragraph(lines);
}

function fenced(lines) {
  lines.shift();
  const code = [];
  while (lines.length && !FENCE.test(lines[0])) code.push(lines.shift());
  lines.shift();
  return h("pre", { tabindex: "0", role: "group", "aria-label": "Example" }, h("code", {}, code.join("\n")));
}

function list(lines) {
  const [, indent, number] = ITEM.exec(lines[0]);
  const items = h(number ? "ol" : "ul");
  while (lines.length) {
    const found = ITEM.exec(lines[0]);
    if (found && found[1].length === indent.length && Boolean(found[2]) === Boolean(number)) {
      lines.shift();
      items.append(h("li", {}, inline(found[3])));
    } else if (found && found[1].length > indent.length) {
      items.lastElementChild.append(list(lines));
    } else if (!found && /^\s+\S/.test(lines[0])) {
      items.lastElementChild.append(" ", ...inline(lines.shift().trim()));
    } else if (!lines[0].trim() && ITEM.exec(lines[1] ?? "")?.[1].length >= indent.length) {
      lines.shift();
    } else {
      break;
    }
  }
  return items;
}

function table(lines) {
  const cells = (line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
  const head = cells(lines.shift());
  lines.shift();
  const rows = [];
  while (lines.length && lines[0].includes("|")) rows.push(cells(lines.shift()));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, inline(cell))),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell) => h("td", {}, inline(cell))),
          ),
        ),
      ),
    ),
  );
}

function paragraph(lines) {
  const taken = [lines.shift()];
  while (lines.length && lines[0].trim() && ![FENCE, HEADING, ITEM].some((begin) => begin.test(lines[0])))
    taken.push(lines.shift());
  return h("p", {}, inline(taken.join(" ")));
}

/** Return the text nodes and elements of a line. */
function inline(text) {
  const nodes = [];
  for (let found = INLINE.exec(text); found; found = INLINE.exec(text)) {
    nodes.push(text.slice(0, found.index), span(found));
    text = text.slice(found.index + found[0].length);
  }
  return [...nodes, text].filter((node) => node !== "");
}

function span([whole, code, strong, emphasis, label, address, escaped]) {
  if (code) return h("code", {}, code);
  if (strong) return h("strong", {}, inline(strong));
  if (emphasis) return h("em", {}, inline(emphasis));
  if (escaped) return escaped;
  return address.startsWith("https://") ? h("a", { href: address, rel: "noreferrer", target: "_blank" }, inline(label)) : whole;
}
