// One batch: progress, results, duplicates, report.
import { announce, badge, bytes, card, duration, fill, h, notice, number, percent, when } from "./dom.js";
import { ask, download, poll } from "./api.js";
import { progressBar, shares } from "./charts.js";
import { results } from "./results.js";
import { duplicates } from "./duplicates.js";
import { hostCard, report } from "./report.js";

const OPEN = new Set(["PENDING", "QUEUED", "SPLITTING", "PROCESSING"]);
const FORMATS = [["csv", "CSV"], ["ndjson", "NDJSON"], ["ndjson.zst", "NDJSON, zstd"], ["parquet", "Parquet"], ["sqlite", "SQLite"]];
const TABS = [["progress", "Progress"], ["results", "Results"], ["duplicates", "Duplicates"], ["report", "Report"]];

export function batch(main, id, tab, query) {
  const path = `/api/v1/batches/${id}`;
  const head = h("div");
  const body = h("div");
  const said = h("div");
  let leave = () => {};
  let shownStatus = null;
  fill(main, head, h("nav.tabs", { "aria-label": "Parts of the batch" }, TABS.map(([name, title]) => h("a", { href: `#/batches/${id}/${name}`, "aria-current": name === tab && "page" }, title))), said, body);

  async function act(method, tail, question) {
    if (question && !confirm(question)) return;
    fill(said);
    try {
      await ask(path + tail, { method });
      if (method === "DELETE") location.hash = "#/";
      else restart();
    } catch (problem) {
      fill(said, notice(problem));
    }
  }
  async function keep(format, button) {
    button.disabled = true;
    fill(said);
    try {
      await download(`${path}/export?format=${format}`, `${id}.${format}`);
    } catch (problem) {
      if (problem.name !== "AbortError") fill(said, notice(problem));
    }
    button.disabled = false;
  }
  /** Made once: what a person chose stays chosen while the heading is drawn again. */
  const format = h("select", { id: "format", "aria-label": "Format of the table" }, FORMATS.map(([value, title]) => h("option", { value }, title)));
  const taking = h("button", { id: "download", onclick: () => keep(format.value, taking) }, "Download");
  const tables = h("span.tables", format, taking);
  function heading(detail) {
    // A list that is open would close.
    if (document.activeElement === format && shownStatus === detail.status) return;
    const isOpen = OPEN.has(detail.status);
    fill(
      head,
      h("div.heading", h("div", h("p.crumb", h("a", { href: "#/" }, "Batches"), " / "), h("h1", detail.name), h("p.sub", badge(detail.status), " ", detail.list.name, " · ", bytes(detail.list.bytes), " · created ", when(detail.timestamps.created_at))),
        h("div.actions",
          detail.status === "PENDING" && h("button.primary", { onclick: () => act("POST", "/start") }, "Start"),
          isOpen && h("button", { onclick: () => act("POST", "/cancel", "Stop this batch? Rows without a result end as cancelled.") }, "Cancel"),
          detail.progress.rows_done > 0 && tables,
          !isOpen && detail.progress.failed > 0 && detail.status !== "FAILED" && h("button", { onclick: () => act("POST", "/retry") }, "Retry"),
          !isOpen && h("button.danger", { onclick: () => act("DELETE", "", "Remove this batch with everything that belongs to it?") }, "Delete"))),
      detail.failure && h("p.notice.bad", detail.failure),
    );
    if (shownStatus !== detail.status) {
      if (shownStatus) announce(`The batch is ${detail.status.toLowerCase()}`);
      shownStatus = detail.status;
    }
  }
  function live(detail) {
    const { progress } = detail;
    const total = progress.rows_total ?? 0;
    const figure = (label, value) => h("div.figure", h("span", label), h("strong", value));
    fill(
      body,
      card("", progressBar(progress.rows_done, total, progress.ok, progress.failed),
        h("div.figures", figure("Done", total ? `${number(progress.rows_done)} of ${number(total)}` : number(progress.rows_done)), figure("Loaded", `${number(progress.ok)} · ${percent(progress.ok, progress.rows_done)}`), figure("Failed", `${number(progress.failed)} · ${percent(progress.failed, progress.rows_done)}`), figure("Rate", progress.rate_per_s ? `${number(Math.round(progress.rate_per_s * 10) / 10)} rows/s` : "–"), OPEN.has(detail.status) && figure("Time left", duration(progress.eta_s)), figure("Fetched", bytes(progress.bytes)))),
      h("div.columns", card("How rows ended", shares(Object.entries(progress.by_outcome), progress.rows_done, (name) => `#/batches/${id}/results?outcome=${name}`)), card("Flaws of images that loaded", Object.keys(progress.by_issue).length ? shares(Object.entries(progress.by_issue), progress.ok, (name) => `#/batches/${id}/results?issue=${name}`) : h("p.empty", "None found so far."))),
      hosts,
    );
  }
  const hosts = h("div");
  /** Of a batch under way the hosts that give trouble, of one that has ended those of its report. */
  async function showHosts(detail) {
    if (detail.report_ready) {
      const report = await ask(`${path}/report`);
      const list = report.worst_hosts.length ? report.worst_hosts : report.slowest_hosts;
      if (list.length) fill(hosts, hostCard(id, report.worst_hosts.length ? "Hosts with the most failures" : "Slowest hosts", list));
      return;
    }
    const { bottlenecks } = await ask("/api/v1/monitoring/bottlenecks");
    const troubled = bottlenecks.filter((one) => one.host);
    fill(hosts, card("Hosts that give trouble now", troubled.length ? h("ul.shares", troubled.map((one) => h("li", h("a", { href: `#/batches/${id}/results?host=${encodeURIComponent(one.host)}` }, h("span.label", one.host), h("span.count", one.evidence[0] ?? "")))))
      : h("p.empty", "None.")));
  }
  function restart() {
    leave();
    let looks = 0;
    const stop = poll(path, 1, (detail) => {
      fill(said);
      heading(detail);
      if (tab === "progress") {
        live(detail);
        // Not at every look: what is asked for covers minutes.
        if (looks % 5 === 0 || !OPEN.has(detail.status)) showHosts(detail).catch(() => {});
        looks += 1;
      }
      const settles = detail.status === "COMPLETED" && !detail.report_ready;
      return OPEN.has(detail.status) || settles;
    }, (problem) => fill(said, notice(problem)));
    leave = stop;
  }
  restart();
  const leaveTab = tab === "results" ? results(body, id, query) : tab === "duplicates" ? duplicates(body, id, query) : tab === "report" ? report(body, id) : () => {};
  return () => {
    leave();
    leaveTab();
  };
}
