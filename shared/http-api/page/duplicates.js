// Duplicates of a batch, side by side.
import { append, bytes, card, fill, h, notice, number } from "./dom.js";
import { figure, read } from "./report.js";
import { dimensions, rowsOf, thumbnail } from "./results.js";

const GROUP_ROWS = 24;

/** How many bits differ. */
function distance(left, right) {
  if (!left || !right) return null;
  let bits = 0;
  for (let at = 0; at < 16; at += 1) for (let rest = parseInt(left[at], 16) ^ parseInt(right[at], 16); rest; rest >>= 1) bits += rest & 1;
  return bits;
}

/** `query` may name a group that is not among the largest: `?group=7`, of an earlier batch `?group=7&group_batch=…`. */
export function duplicates(body, id, query) {
  const controller = new AbortController();
  async function open({ representative, batch }, place, known = [], cursor = null) {
    const waiting = h("p.sub", "Reading …");
    if (known.length) place.append(waiting);
    else fill(place, waiting);
    try {
      const wanted = { group: String(representative), ...(batch && { group_batch: batch }) };
      const found = await rowsOf(id, wanted, cursor, GROUP_ROWS, controller.signal);
      const rows = [...known, ...found.rows];
      const more = found.cursor && h("div.more", h("button", { onclick: () => open({ representative, batch }, place, rows, found.cursor) }, found.stopped ? "Search on" : "Show more"), found.stopped && h("p.sub", `${number(found.pages)} pages were searched; there is more of the list.`));
      if (!rows.length) return fill(place, h("p.empty", found.cursor ? "No row of this group so far." : "No row is in this group."), more);
      const first = rows.find((row) => !batch && row.row === representative) ?? rows[0];
      const sizes = rows.map((row) => (row.width ?? 0) * (row.height ?? 0));
      const largest = Math.max(...sizes);
      const differ = largest !== Math.min(...sizes);
      fill(place, batch && h("p.sub", "The group is named after row ", number(representative), " of ", h("a", { href: `#/batches/${batch}/duplicates?group=${representative}` }, "an earlier batch"), "."), h("ul.side-by-side", rows.map((row) => {
        const bits = distance(first.phash, row.phash);
        const isLargest = differ && (row.width ?? 0) * (row.height ?? 0) === largest;
        return h("li", thumbnail(row, "medium"), h("p.url", row.url), h("p.sub", dimensions(row), isLargest && h("span.badge.good", "largest")), h("p.sub", `${row.format ?? ""} ${bytes(row.bytes)}`), h("p.sub", row === first ? (batch ? "the first of this batch" : "the first of them") : row.sha256 && row.sha256 === first.sha256 ? "the same bytes" : bits === null ? "alike" : `${bits} of 64 bits differ`));
      })), more);
    } catch (problem) {
      if (problem.name !== "AbortError") fill(place, notice(problem));
    }
    return undefined;
  }
  function show(group, title, isOpen) {
    const place = h("div");
    const item = h("details.group.card", { ontoggle: () => item.open && !place.children.length && open(group, place) }, h("summary", title), place);
    item.open = isOpen;
    return item;
  }
  read(body, id, ({ duplicates: found }) => {
    const groups = h("div.groups");
    fill(body, card("", h("div.figures", figure("Groups", number(found.groups)), figure("Same bytes", `${number(found.exact_rows)} rows · ${bytes(found.exact_bytes)}`), figure("Look alike", `${number(found.near_rows)} rows · ${bytes(found.near_bytes)}`), figure("Placeholders", number(found.placeholder_rows)))), groups);
    const asked = query?.get("group");
    const askedBatch = query?.get("group_batch") || undefined;
    if (found.not_compared) groups.append(h("p.notice.warn", "Not matched with earlier images: ", found.not_compared, "."));
    if (!found.largest_groups.length && asked === null) append(groups, [h("p.empty", "No two images are alike.")]);
    const isAsked = (group) => String(group.representative) === asked && (group.batch ?? undefined) === askedBatch;
    if (asked !== null && !found.largest_groups.some(isAsked)) groups.append(show({ representative: Number(asked), batch: askedBatch }, [h("strong", `Group of row ${number(Number(asked))}`), askedBatch && h("span.sub", "of an earlier batch")], true));
    found.largest_groups.forEach((group, index) => {
      const title = [h("strong", `${number(group.rows)} rows`), h("span.url", group.url), h("span.sub", `${number(group.exact_rows)} with the same bytes · ${bytes(group.bytes)} to save${group.batch ? " · of an earlier batch" : ""}`)];
      const item = show(group, title, asked === null ? index === 0 : isAsked(group));
      groups.append(item);
      if (isAsked(group)) item.scrollIntoView();
    });
  });
  return () => controller.abort();
}
