// One batch: progress, results, duplicates, report.
import { announce, badge, bytes, card, duration, fill, h, notice, number, percent, when } from "./dom.js";
import { ask, download, poll } from "./api.js";
import { progressBar, shares } from "./charts.js";
import { results } from "./results.js";
import { duplicates, report } from "./report.js";

const OPEN = new Set(["PENDING", "QUEUED", "SPLITTING", "PROCESSING"]);
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
  function keep(format) {
    return async (event) => {
      event.target.disabled = true;
      try {
        await download(`${path}/export?format=${format}`, `${id}.${format}`);
      } catch (problem) {
        fill(said, notice(problem));
      }
      event.target.disabled = false;
    };
  }
  function heading(detail) {
    const isOpen = OPEN.has(detail.status);
    fill(
      head,
      h("div.heading", h("div", h("p.crumb", h("a", { href: "#/" }, "Batches"), " / "), h("h1", detail.name), h("p.sub", badge(detail.status), " ", detail.list.name, " · ", bytes(detail.list.bytes), " · created ", when(detail.timestamps.created_at))),
        h("div.actions",
          detail.status === "PENDING" && h("button.primary", { onclick: () => act("POST", "/start") }, "Start"),
          isOpen && h("button", { onclick: () => act("POST", "/cancel", "Stop this batch? Rows without a result end as cancelled.") }, "Cancel"),
          !isOpen && detail.status !== "FAILED" && [h("button", { onclick: keep("csv") }, "Download CSV"), h("button", { onclick: keep("ndjson") }, "NDJSON")],
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
    );
  }
  function restart() {
    leave();
    const stop = poll(path, 1, (detail) => {
      fill(said);
      heading(detail);
      if (tab === "progress") live(detail);
      const settles = detail.status === "COMPLETED" && !detail.report_ready;
      return OPEN.has(detail.status) || settles;
    }, (problem) => fill(said, notice(problem)));
    leave = stop;
  }
  restart();
  const leaveTab = tab === "results" ? results(body, id, query) : tab === "duplicates" ? duplicates(body, id) : tab === "report" ? report(body, id) : () => {};
  return () => {
    leave();
    leaveTab();
  };
}
