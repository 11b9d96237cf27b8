// What a batch came to, and its duplicates side by side.
import { append, badge, bytes, card, duration, fill, h, notice, number, percent, words } from "./dom.js";
import { ask } from "./api.js";
import { shares } from "./charts.js";
import { dimensions, rowsOf, thumbnail } from "./results.js";

const GROUP_ROWS = 24;

async function read(body, id, show) {
  fill(body, h("p.empty", "Reading …"));
  try {
    show(await ask(`/api/v1/batches/${id}/report`));
  } catch (problem) {
    fill(body, problem.type === "/problems/no-report-yet" ? h("p.empty", "The report is written once the batch is completed.") : notice(problem));
  }
}

const figure = (label, value) => h("div.figure", h("span", label), h("strong", value));

function table(caption, head, rows) {
  return h("div.table-wrap", { tabindex: "0", role: "region", "aria-label": caption }, h("table.list", h("caption.visually-hidden", caption), h("thead", h("tr", head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", rows.map((cells) => h("tr", cells.map((cell, index) => (index ? h("td", cell) : h("th", { scope: "row" }, cell))))))));
}

export function report(body, id) {
  read(body, id, (found) => {
    const hosts = (list) => list.map((host) => [h("a", { href: `#/batches/${id}/results?host=${encodeURIComponent(host.host)}` }, host.host), number(host.rows), number(host.failed), host.p50_ms === null ? "–" : duration(host.p50_ms / 1000), host.p95_ms === null ? "–" : duration(host.p95_ms / 1000)]);
    const head = ["Host", "Rows", "Failed", "Median", "95 of 100 within"];
    fill(
      body,
      card("", h("div.figures", figure("Rows", number(found.rows)), figure("Loaded", `${number(found.ok)} · ${percent(found.ok, found.rows)}`), figure("Failed", number(found.failed)), figure("Took", duration(found.elapsed_s)), figure("Rate", `${number(Math.round(found.rows_per_s * 10) / 10)} rows/s`), figure("Fetched", bytes(found.bytes)), found.latency_ms && figure("A row took", `${duration(found.latency_ms.p50 / 1000)} · 95 %: ${duration(found.latency_ms.p95 / 1000)}`))),
      h("div.columns", card("How rows ended", shares(Object.entries(found.by_outcome), found.rows, (name) => `#/batches/${id}/results?outcome=${name}`)), card("Flaws", Object.keys(found.by_issue).length ? shares(Object.entries(found.by_issue), found.ok, (name) => `#/batches/${id}/results?issue=${name}`) : h("p.empty", "None."))),
      found.formats.length > 0 && card("Formats", table("Formats", ["Format", "Rows", "Bytes", "Megapixels"], found.formats.map((format) => [format.format, number(format.rows), bytes(format.bytes), number(Math.round(format.pixels / 1e5) / 10)]))),
      found.worst_hosts.length > 0 && card("Hosts with the most failures", table("Hosts with the most failures", head, hosts(found.worst_hosts))),
      found.slowest_hosts.length > 0 && card("Slowest hosts", table("Slowest hosts", head, hosts(found.slowest_hosts))),
      Object.keys(found.examples).length > 0 && card("Examples", h("dl.examples", Object.entries(found.examples).map(([name, examples]) => [h("dt", badge(name)), examples.map((example) => h("dd", h("span.url", example.url || `row ${example.row}`), example.detail && h("span.why", example.detail)))]))),
      found.retries.length > 0 && card("Retries", found.retries.map((retry) => h("p", `${number(retry.rows)} rows done again: `, Object.entries(retry.to).map(([name, rows]) => `${number(rows)} ${words(name)}`).join(", ")))),
    );
  });
  return () => {};
}

/** How many bits differ. */
function distance(left, right) {
  if (!left || !right) return null;
  let bits = 0;
  for (let at = 0; at < 16; at += 1) for (let rest = parseInt(left[at], 16) ^ parseInt(right[at], 16); rest; rest >>= 1) bits += rest & 1;
  return bits;
}

export function duplicates(body, id) {
  const controller = new AbortController();
  async function open(group, place) {
    fill(place, h("p.sub", "Reading …"));
    try {
      const { rows } = await rowsOf(id, { group: String(group) }, null, GROUP_ROWS, controller.signal);
      const first = rows.find((row) => row.row === group) ?? rows[0];
      const sizes = rows.map((row) => (row.width ?? 0) * (row.height ?? 0));
      const largest = Math.max(...sizes);
      const differ = largest !== Math.min(...sizes);
      fill(place, h("ul.side-by-side", rows.map((row) => {
        const bits = distance(first.phash, row.phash);
        const isLargest = differ && (row.width ?? 0) * (row.height ?? 0) === largest;
        return h("li", thumbnail(row, "medium"), h("p.url", row.url), h("p.sub", dimensions(row), isLargest && h("span.badge.good", "largest")), h("p.sub", `${row.format ?? ""} ${bytes(row.bytes)}`), h("p.sub", row === first ? "the first of them" : row.sha256 && row.sha256 === first.sha256 ? "the same bytes" : bits === null ? "alike" : `${bits} of 64 bits differ`));
      })));
    } catch (problem) {
      if (problem.name !== "AbortError") fill(place, notice(problem));
    }
  }
  read(body, id, ({ duplicates: found }) => {
    const groups = h("div.groups");
    fill(body, card("", h("div.figures", figure("Groups", number(found.groups)), figure("Same bytes", `${number(found.exact_rows)} rows · ${bytes(found.exact_bytes)}`), figure("Look alike", `${number(found.near_rows)} rows · ${bytes(found.near_bytes)}`), figure("Placeholders", number(found.placeholder_rows)))), groups);
    if (!found.largest_groups.length) append(groups, [h("p.empty", "No two images are alike.")]);
    found.largest_groups.forEach((group, index) => {
      const place = h("div");
      const item = h("details.group.card", { ontoggle: () => item.open && !place.children.length && open(group.representative, place) }, h("summary", h("strong", `${number(group.rows)} rows`), h("span.url", group.url), h("span.sub", `${number(group.exact_rows)} with the same bytes · ${bytes(group.bytes)} to save`)), place);
      groups.append(item);
      if (index === 0) item.open = true;
    });
  });
  return () => controller.abort();
}
