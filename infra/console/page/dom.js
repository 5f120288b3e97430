// Elements, made and replaced.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with attributes and children. `on…` are listeners; false and null leave an attribute out.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  append(element, children);
  return element;
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  append(element, children);
  return element;
}

/** @param {Element} element @param {Record<string, any>} attributes */
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Element} element @param {(Child | Child[])[]} children */
function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
}

/** Which details are open, by their key: what is drawn again stays open. @type {Set<string>} */
const open = new Set();

/** @param {string} key @param {Child} summary @param {...(Child | Child[])} children */
export function details(key, summary, ...children) {
  const element = h("details", { open: open.has(key) }, h("summary", { id: `summary-${key}` }, summary), ...children);
  element.addEventListener("toggle", () => {
    if (/** @type {HTMLDetailsElement} */ (element).open) open.add(key);
    else open.delete(key);
  });
  return element;
}

/** Replaces what is in an element, and keeps the focus and how far tables are scrolled.
 * @param {Element} element @param {...(Child | Child[])} children */
export function replace(element, ...children) {
  const focus = element.contains(document.activeElement) ? document.activeElement?.id : "";
  const scrolled = [...element.querySelectorAll(".scroll[id]")].map((each) => [each.id, each.scrollTop, each.scrollLeft]);
  element.replaceChildren();
  append(element, children);
  for (const [id, top, left] of scrolled) {
    const again = document.getElementById(String(id));
    if (again) Object.assign(again, { scrollTop: top, scrollLeft: left });
  }
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {boolean} [number]
 * @property {(row: any) => Child | Child[]} of What a cell shows.
 * @property {(row: any) => string | number | null | undefined} [raw] What the CSV has instead.
 */

/** @param {string} id @param {Column[]} columns @param {any[]} rows @param {{ caption?: string, tall?: boolean }} [options] */
export function table(id, columns, rows, { caption, tall } = {}) {
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.number ? "n" : null }, column.name)));
  const line = (/** @type {any} */ row) =>
    h("tr", {}, columns.map((column, i) =>
      h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: column.number ? "n" : null }, column.of(row))));
  return h("div", { class: tall ? "scroll tall" : "scroll", id, tabindex: 0, role: "region", "aria-label": caption ?? "Table" },
    h("table", {}, caption && h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, rows.map(line))));
}

/** @param {Column[]} columns @param {any[]} rows */
export function csv(columns, rows) {
  const cell = (/** @type {any} */ value) => {
    const text = value === null || value === undefined || value === false ? "" : value instanceof Node ? value.textContent ?? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const value = (/** @type {Column} */ column, /** @type {any} */ row) => {
    const of = column.raw ? column.raw(row) : column.of(row);
    return cell(Array.isArray(of) ? of.map(cell).join(" ") : of);
  };
  return [columns.map((column) => cell(column.name)), ...rows.map((row) => columns.map((column) => value(column, row)))]
    .map((line) => line.join(",")).join("\r\n") + "\r\n";
}

/** @param {string} name @param {string} text */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A button that says what it does. @param {string} text @param {() => void} does @param {Record<string, any>} [attributes] */
export function button(text, does, attributes = {}) {
  return h("button", { type: "button", onclick: does, ...attributes }, text);
}
