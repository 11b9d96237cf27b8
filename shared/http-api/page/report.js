// What a batch came to.
import { badge, bytes, card, duration, fill, h, notice, number, percent, words } from "./dom.js";
import { ask, openPage } from "./api.js";
import { bars, shares, stacked } from "./charts.js";

export async function read(body, id, show) {
  fill(body, h("p.empty", "Reading …"));
  try {
    show(await ask(`/api/v1/batches/${id}/report`));
  } catch (problem) {
    fill(body, problem.type === "/problems/no-report-yet" ? h("p.empty", "The report is written once the batch is completed.") : notice(problem));
  }
}

export const figure = (label, value) => h("div.figure", h("span", label), h("strong", value));

function table(caption, head, rows) {
  return h("div.table-wrap", { tabindex: "0", role: "region", "aria-label": caption }, h("table.list", h("caption.visually-hidden", caption), h("thead", h("tr", head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", rows.map((cells) => h("tr", cells.map((cell, index) => (index ? h("td", cell) : h("th", { scope: "row" }, cell))))))));
}

const UNITS = { percent: " %", milliseconds: " ms", seconds: " s", messages: "", rows: "" };
const amount = (value, unit) => (value === null ? "–" : `${number(value >= 100 ? Math.round(value) : value)}${UNITS[unit] ?? ` ${unit}`}`);
const HOST_HEAD = ["Host", "Rows", "Failed", "Median", "95 of 100 within"];

export function hostCard(id, title, list) {
  return card(title, table(title, HOST_HEAD, list.map((host) => [h("a", { href: `#/batches/${id}/results?host=${encodeURIComponent(host.host)}` }, host.host), number(host.rows), number(host.failed), host.p50_ms === null ? "–" : duration(host.p50_ms / 1000), host.p95_ms === null ? "–" : duration(host.p95_ms / 1000)])));
}

/** Targets and indicators, each with whether it was kept. */
function reportCard(lines) {
  const measured = lines.filter((line) => line.passed !== null);
  const kept = measured.filter((line) => line.passed).length;
  const verdict = (line) => (line.passed === null ? h("span.badge.quiet", "not measured") : line.passed ? h("span.badge.good", "passed") : h("span.badge.bad", "failed"));
  const row = (line) => [line.title, `${line.higher_is_better ? "≥" : "≤"} ${amount(line.target, line.unit)}`, amount(line.actual, line.unit), verdict(line)];
  return card("Report card", h("p", h("strong", `${kept} of ${measured.length}`), " lines that could be checked are kept."), [["target", "Target for a list of this length"], ["indicator", "Indicator of the system"]].map(([kind, title]) => {
    const some = lines.filter((line) => line.kind === kind);
    return some.length > 0 && table(title, [title, "Promised", "Measured", ""], some.map(row));
  }));
}

function timeLine({ step_s: step, steps }) {
  return card("Time line", stacked("Rows a second over time", steps.map((one) => ({ at: new Date(one.at), good: one.ok / step, bad: one.failed / step })), step), h("p.sub", `Rows a second, in steps of ${duration(step)}: `, h("span.key.good"), " loaded, ", h("span.key.bad"), " failed."));
}

function distributions(list) {
  const edge = (one, value) => (one.unit === "bytes" ? bytes(value) : number(Math.round(value * 1000) / 1000));
  return card("Sizes and measurements", h("div.charts", list.map((one) => bars(one, (value) => edge(one, value)))));
}

function rules(id, packs) {
  return packs.map((pack) => {
    const rows = pack.passed + pack.failed;
    const failing = pack.rules.filter((rule) => rule.failed > 0 || rule.not_checked > 0);
    const example = (rule) => rule.example && [h("span.url", rule.example.url), rule.example.detail && h("span.why", rule.example.detail)];
    return card(pack.title, h("p", h("strong", `${number(pack.passed)} of ${number(rows)}`), ` rows pass (${percent(pack.passed, rows)}); ${number(pack.no_image)} of the others have no image at all.`, pack.source && h("span.sub", ` Figures from ${pack.source}, read on ${pack.read_on}.`)), failing.length > 0 && table(pack.title, ["Rule", "Failed", "Not checked", "For example"], failing.map((rule) => [[rule.id, rule.about && h("span.about", rule.about)], number(rule.failed), number(rule.not_checked), example(rule)])));
  });
}

function cost(found) {
  const lines = found.lines.filter((line) => line.usd > 0);
  return card("Cost on AWS", h("p", h("strong", `$${found.total_usd.toFixed(4)}`), ` by the model, or $${found.usd_per_million.toFixed(2)} for a million rows.`), table("Cost", ["For", "US dollars"], lines.map((line) => [line.what, line.usd.toFixed(6)])), h("p.sub", found.assumptions));
}

export function report(body, id) {
  const said = h("div");
  async function openHtml() {
    fill(said);
    try {
      await openPage(`/api/v1/batches/${id}/report`);
    } catch (problem) {
      fill(said, notice(problem));
    }
  }
  read(body, id, (found) => {
    fill(
      body,
      h("div.actions.end", h("button", { id: "html-report", onclick: openHtml }, "Open as one page, to print or send")),
      said,
      card("", h("div.figures", figure("Rows", number(found.rows)), figure("Loaded", `${number(found.ok)} · ${percent(found.ok, found.rows)}`), figure("Failed", number(found.failed)), figure("Took", duration(found.elapsed_s)), figure("Rate", `${number(Math.round(found.rows_per_s * 10) / 10)} rows/s`), figure("Fetched", bytes(found.bytes)), found.latency_ms && figure("A row took", `${duration(found.latency_ms.p50 / 1000)} · 95 %: ${duration(found.latency_ms.p95 / 1000)}`))),
      found.card.length > 0 && reportCard(found.card),
      found.time_line.steps.length > 0 && timeLine(found.time_line),
      h("div.columns", card("How rows ended", shares(Object.entries(found.by_outcome), found.rows, (name) => `#/batches/${id}/results?outcome=${name}`)), card("Flaws", Object.keys(found.by_issue).length ? shares(Object.entries(found.by_issue), found.ok, (name) => `#/batches/${id}/results?issue=${name}`) : h("p.empty", "None."))),
      rules(id, found.rules),
      found.distributions.length > 0 && distributions(found.distributions),
      found.formats.length > 0 && card("Formats", table("Formats", ["Format", "Rows", "Bytes", "Megapixels"], found.formats.map((format) => [format.format, number(format.rows), bytes(format.bytes), number(Math.round(format.pixels / 1e5) / 10)]))),
      found.worst_hosts.length > 0 && hostCard(id, "Hosts with the most failures", found.worst_hosts),
      found.slowest_hosts.length > 0 && hostCard(id, "Slowest hosts", found.slowest_hosts),
      Object.keys(found.examples).length > 0 && card("Examples", h("dl.examples", Object.entries(found.examples).map(([name, examples]) => [h("dt", badge(name)), examples.map((example) => h("dd", h("span.url", example.url || `row ${example.row}`), example.detail && h("span.why", example.detail)))]))),
      found.retries.length > 0 && card("Retries", found.retries.map((retry) => h("p", `${number(retry.rows)} rows done again: `, Object.entries(retry.to).map(([name, rows]) => `${number(rows)} ${words(name)}`).join(", ")))),
      found.cost && cost(found.cost),
    );
  });
  return () => {};
}
