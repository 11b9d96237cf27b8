// Elements from data. Text is always text: nothing that a list holds becomes markup.

/** An element: `h("a.more", {href: "#/"}, "More", child, [children])`. Functions are listeners, false and null are left out. */
export function h(spec, ...rest) {
  const [name, ...classes] = spec.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  const first = rest[0];
  if (first && typeof first === "object" && !(first instanceof Node) && !Array.isArray(first)) {
    rest.shift();
    for (const [key, value] of Object.entries(first)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "dataset") Object.assign(node.dataset, value);
      else if (key in node && key !== "list" && key !== "form" && typeof value !== "string") node[key] = value;
      else node.setAttribute(key, value === true ? "" : value);
    }
  }
  append(node, rest);
  return node;
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Puts children in place of what is there. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

const SVG = "http://www.w3.org/2000/svg";
export function s(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  return append(node, children);
}

/** Says something to those who do not see it. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

const integers = new Intl.NumberFormat("en");
const decimals = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
export const number = (value) => (value === null || value === undefined ? "–" : Number.isInteger(value) ? integers.format(value) : decimals.format(value));

export function percent(part, whole) {
  if (!whole) return "–";
  const share = (part * 100) / whole;
  return `${share > 0 && share < 0.1 ? "<0.1" : decimals.format(Math.round(share * 10) / 10)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function when(text) {
  if (!text) return "–";
  const date = new Date(text);
  const ago = (Date.now() - date) / 1000;
  const shown = ago < 45 ? "just now" : ago < 3600 ? `${Math.round(ago / 60)} min ago` : ago < 86400 ? `${Math.round(ago / 3600)} h ago` : date.toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
  return h("time", { datetime: text, title: date.toLocaleString("en") }, shown);
}

/** `rate_limited` for a person. */
export const words = (name) => name.replaceAll("_", " ");

const GOOD = new Set(["ok", "COMPLETED", "green"]);
const QUIET = new Set(["duplicate_url", "cancelled", "CANCELLED", "PENDING", "grey"]);
const UNDER_WAY = new Set(["QUEUED", "SPLITTING", "PROCESSING", "amber"]);
export const tone = (name) => (GOOD.has(name) ? "good" : QUIET.has(name) ? "quiet" : UNDER_WAY.has(name) ? "busy" : "bad");
export const badge = (name) => h(`span.badge.${tone(name)}`, words(name).toLowerCase());

export function notice(problem) {
  return h("p.notice.bad", { role: "alert" }, problem.message || String(problem));
}

/** A card with a heading. */
export function card(title, ...children) {
  return h("section.card", title && h("h2", title), children);
}
