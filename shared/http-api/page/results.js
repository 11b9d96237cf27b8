// Result rows: filtered, page by page, with previews and details.
import { badge, bytes, duration, fill, h, notice, number, words } from "./dom.js";
import { ask } from "./api.js";
import { preview } from "./thumbhash.js";

export const OUTCOMES = "ok invalid_url duplicate_url blocked_address blocked_by_robots opted_out dns_error connect_error tls_error timeout too_slow redirect_limit header_limit bad_response not_found forbidden bot_wall rate_limited client_error server_error too_large truncated not_an_image unsupported_format pixel_limit decode_error cancelled poisoned".split(" ");
const ISSUES = "dark bright low_contrast blurry low_information grayscale odd_aspect_ratio small type_mismatch placeholder exact_duplicate near_duplicate".split(" ");
const WANTED = 40;
const MAX_EMPTY_PAGES = 50;

/** Rows that a query finds, from a cursor on: pages with few of them are read together. */
export async function rowsOf(id, query, cursor, wanted, signal) {
  const rows = [];
  let page = 0;
  for (; page < MAX_EMPTY_PAGES; page += 1) {
    const asked = new URLSearchParams(query);
    asked.set("limit", String(wanted - rows.length));
    if (cursor) asked.set("cursor", cursor);
    const found = await ask(`/api/v1/batches/${id}/results?${asked}`, { signal });
    rows.push(...found.data);
    cursor = found.next_cursor;
    if (!cursor || rows.length >= wanted) break;
  }
  // Stopped: few rows are like this, and there is more of the list.
  return { rows, cursor, pages: page, stopped: page === MAX_EMPTY_PAGES };
}

/** The blurred preview of a row. */
export function thumbnail(row, className = "thumb") {
  const address = preview(row.thumbhash);
  return address ? h(`img.${className}`, { src: address, alt: "", width: "64", height: "64" }) : h(`span.${className}.none`, { "aria-hidden": "true" });
}

export const dimensions = (row) => (row.width ? `${row.width} × ${row.height}` : "–");

export function results(body, id, query) {
  const controller = new AbortController();
  const rows = h("tbody");
  const said = h("div");
  const more = h("div.more");
  const details = h("dialog.details", { "aria-label": "Details of a row", onclick: (event) => event.target === details && details.close() });
  const select = (name, values) => h("select", { id: `filter-${name}`, onchange: (event) => go({ [name]: event.target.value }) }, h("option", { value: "" }, "all"), values.map((value) => h("option", { value, selected: query.get(name) === value }, words(value))));
  const host = h("input", { id: "filter-host", type: "search", placeholder: "all", value: query.get("host") ?? "", onchange: () => go({ host: host.value.trim() }) });

  function go(change) {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(change)) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    location.hash = `#/batches/${id}/results${next.size ? `?${next}` : ""}`;
  }
  async function read(cursor) {
    fill(more, h("span.sub", "Reading …"));
    try {
      const found = await rowsOf(id, query, cursor, WANTED, controller.signal);
      fill(said);
      found.rows.forEach((row) => rows.append(line(row)));
      if (!rows.children.length) fill(said, h("p.empty", query.size ? "No row is like this." : "No row is done yet."));
      fill(more, found.cursor && h("button", { onclick: () => read(found.cursor) }, found.stopped ? "Search on" : "Show more"), found.stopped && h("p.sub", "Few rows are like this; there is more of the list."));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(said, notice(problem));
    }
  }
  function line(row) {
    return h(
      "tr",
      h("td", thumbnail(row)),
      h("td.url", h("button.link", { onclick: () => open(row) }, row.url || "(no URL)"), row.detail && h("span.why", row.detail)),
      h("td", badge(row.outcome)),
      h("td.image", dimensions(row), h("span.sub", [row.format, row.bytes !== null && bytes(row.bytes)].filter(Boolean).join(" · "))),
      h("td", row.issues.map((issue) => h("span.badge.busy", words(issue)))),
    );
  }
  function open(row) {
    const picture = h("div.picture", thumbnail(row, "large"));
    const shows = row.outcome === "ok" || row.format;
    const load = shows && h("button", { onclick: () => fill(picture, h("img", { src: row.url, alt: "The image itself", referrerPolicy: "no-referrer", onerror: () => fill(picture, h("p.empty", "Your browser cannot load it.")) })) }, "Load the image from its host");
    const known = Object.entries(row).filter(([name, value]) => value !== null && !["batch", "thumbhash", "issues", "extra", "url"].includes(name));
    const shown = (name, value) => {
      if (name === "elapsed_ms") return duration(value / 1000);
      if (name === "bytes") return `${number(value)} (${bytes(value)})`;
      if (name === "palette") return value.map((color) => {
        const swatch = h("span.swatch", { title: color });
        swatch.style.background = color;
        return swatch;
      });
      if (name === "duplicate_group") return h("a", { href: `#/batches/${id}/duplicates?group=${value}${row.duplicate_group_batch ? `&group_batch=${row.duplicate_group_batch}` : ""}` }, number(value));
      if (name === "duplicate_of_batch" || name === "duplicate_group_batch") return h("a", { href: `#/batches/${value}` }, value);
      return typeof value === "object" ? JSON.stringify(value) : typeof value === "number" ? number(value) : String(value);
    };
    fill(details, h("form", { method: "dialog" }, h("button.close", { "aria-label": "Close" }, "×")), h("h2", `Row ${number(row.row)}`), h("p.url", row.url), picture, load, row.issues.length > 0 && h("p", row.issues.map((issue) => h("span.badge.busy", words(issue)))), h("dl", known.map(([name, value]) => [h("dt", words(name)), h("dd", shown(name, value))]), Object.entries(row.extra).map(([name, value]) => [h("dt.carried", name), h("dd", typeof value === "object" ? JSON.stringify(value) : String(value))])));
    details.showModal();
  }
  fill(
    body,
    h("div.filters", h("div", h("label", { for: "filter-outcome" }, "Ended as"), select("outcome", OUTCOMES)), h("div", h("label", { for: "filter-issue" }, "Flaw"), select("issue", ISSUES)), h("div", h("label", { for: "filter-host" }, "Host"), host)),
    h("div.table-wrap", { tabindex: "0", role: "region", "aria-label": "Result rows" }, h("table.list.results", h("caption.visually-hidden", "Result rows"), h("thead", h("tr", h("th", { scope: "col" }, h("span.visually-hidden", "Preview")), ["URL", "Ended as", "Image", "Flaws"].map((name) => h("th", { scope: "col" }, name)))), rows)),
    said,
    more,
    details,
  );
  read(null);
  return () => controller.abort();
}
