// The caller's batches, newest first.
import { badge, bytes, fill, h, notice, when } from "./dom.js";
import { ask, poll } from "./api.js";

const STATES = ["PENDING", "QUEUED", "SPLITTING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"];

export function batches(main) {
  const rows = h("tbody");
  const said = h("div");
  const more = h("div.more");
  const table = h("table.list", h("caption.visually-hidden", "Batches, newest first"), h("thead", h("tr", ["Batch", "Status", "List", "Created"].map((name) => h("th", { scope: "col" }, name)))), rows);
  const filter = h("select", { id: "status", onchange: restart }, h("option", { value: "" }, "All"), STATES.map((state) => h("option", { value: state }, state.toLowerCase())));
  const wrap = h("div.table-wrap", table);
  let stop = () => {};
  let pages = 1;
  const address = (cursor) => `/api/v1/batches?limit=25${filter.value ? `&status=${filter.value}` : ""}${cursor ? `&cursor=${cursor}` : ""}`;

  function line(batch) {
    return h(
      "tr",
      h("th", { scope: "row" }, h("a", { href: `#/batches/${batch.batch_id}` }, batch.name)),
      h("td", badge(batch.status), batch.failure && h("span.why", batch.failure)),
      h("td", batch.list.name, h("span.sub", bytes(batch.list.bytes))),
      h("td", when(batch.timestamps.created_at)),
    );
  }
  function next(cursor) {
    if (!cursor) return fill(more);
    return fill(
      more,
      h("button", { onclick: async (event) => {
        event.target.disabled = true;
        pages += 1;
        stop();
        try {
          const page = await ask(address(cursor));
          page.data.forEach((batch) => rows.append(line(batch)));
          next(page.next_cursor);
        } catch (problem) {
          fill(said, notice(problem));
        }
      } }, "Show more"),
    );
  }
  function seen(page) {
    if (pages > 1) return false;
    fill(said);
    if (!page.data.length) {
      wrap.hidden = true;
      fill(more);
      fill(said, h("div.empty", h("p", filter.value ? "No batch is in this state." : "No batches yet."), !filter.value && h("a.button.primary", { href: "#/new" }, "Check a list")));
      return true;
    }
    wrap.hidden = false;
    fill(rows, page.data.map(line));
    next(page.next_cursor);
    return true;
  }
  function restart() {
    stop();
    pages = 1;
    stop = poll(address(), 3, seen, (problem) => fill(said, notice(problem)));
  }
  fill(main, h("div.heading", h("h1", "Batches"), h("div.filter", h("label", { for: "status" }, "Status"), filter), h("a.button.primary", { href: "#/new" }, "New batch")), wrap, said, more);
  restart();
  return () => stop();
}
