// A new batch: drop a file, see how it is read, start.
import { announce, bytes, fill, h, notice, number } from "./dom.js";
import { ask, interrupted, sendParts, upload } from "./api.js";

const PREVIEW_BYTES = 256 * 1024;
const MEASURES = [
  ["fast", "Everything, fast", "format, size, hashes, quality, duplicates"],
  ["header", "Header only", "format and dimensions; reads the first bytes of each image"],
  ["full", "Everything, every pixel", "as the first, from full decoding"],
];

const PACKS = [["google-merchant", "Google Merchant"], ["google-merchant-apparel", "Google Merchant, clothes"], ["amazon", "Amazon"], ["ebay", "eBay"], ["open-graph", "Open Graph"], ["catalogue", "Every image once"]];

export function newBatch(main) {
  let file = null;
  let running = null;
  const said = h("div");
  const preview = h("div", { "aria-live": "polite" });
  const picker = h("input.visually-hidden", { type: "file", id: "file", accept: ".csv,.tsv,.txt,.ndjson,.jsonl,.json,.gz,.zst", onchange: () => picker.files[0] && take(picker.files[0]) });
  const title = h("strong", "Drop a list here");
  const about = h("span", "or choose a file: CSV, TSV, NDJSON or plain text, also compressed with gzip or zstd");
  const zone = h("label.drop", { for: "file", ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); }, ondragleave: () => zone.classList.remove("over"), ondrop: (event) => { event.preventDefault(); zone.classList.remove("over"); if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]); } }, title, about);
  const name = h("input", { id: "name", maxlength: "200", placeholder: "the file's name" });
  const column = h("select", { id: "column", disabled: true, onchange: look }, h("option", { value: "" }, "found by itself"));
  const measure = h("fieldset", h("legend", "How much of each image is looked at"), MEASURES.map(([value, label, hint], index) => h("label.choice", h("input", { type: "radio", name: "measure", value, checked: index === 0 }), h("span", label, h("small", hint)))));
  const labels = h("input", { type: "checkbox", id: "labels" });
  const rules = h("fieldset", h("legend", "Rules that images are held against"), PACKS.map(([value, label]) => h("label.check", h("input", { type: "checkbox", name: "rules", value }), h("span", label))));
  const since = h("select", { id: "since" }, h("option", { value: "" }, "nothing"));
  const against = h("select", { id: "against" }, h("option", { value: "" }, "this list alone"));
  const webhook = h("input", { id: "webhook", type: "url", maxlength: "2000", placeholder: "https://…" });
  const distance = h("input", { id: "distance", type: "number", min: "0", max: "12", value: "6" });
  const positions = h("select", { id: "positions" }, [["upright", "as they are"], ["mirrored", "mirrored too"], ["turned", "mirrored and turned too"]].map(([value, label]) => h("option", { value }, label)));
  const choice = (id, label, input) => h("div", h("label", { for: id }, label), input);
  const more = h("details.options", h("summary", "Rules, comparison, duplicates"), rules, h("div.fields", choice("since", "Compare with an earlier batch", since), choice("against", "Look for duplicates in", against), choice("distance", "Bits that near duplicates may differ in", distance), choice("positions", "Compare images", positions), choice("webhook", "Address to tell when it is done", webhook)));
  ask("/api/v1/batches?status=COMPLETED&limit=50").then(({ data }) => {
    for (const one of data) {
      since.append(h("option", { value: one.batch_id ?? one.id }, one.name));
      against.append(h("option", { value: one.batch_id ?? one.id }, `it and ${one.name}`));
    }
  }, () => {});
  const autoStart = h("input", { type: "checkbox", id: "auto", checked: true });
  const go = h("button.primary", { type: "submit", disabled: true }, "Check this list");
  const bar = h("progress", { max: "1", value: "0", hidden: true, "aria-label": "Upload" });
  const stopButton = h("button", { type: "button", hidden: true, onclick: () => running?.abort() }, "Stop");

  async function take(chosen) {
    file = chosen;
    fill(title, file.name);
    fill(about, `${bytes(file.size)} · choose another`);
    name.placeholder = file.name;
    fill(column, h("option", { value: "" }, "found by itself"));
    await look();
  }
  async function look() {
    fill(said);
    go.disabled = true;
    const query = new URLSearchParams({ list_name: file.name, is_cut: String(file.size > PREVIEW_BYTES) });
    if (column.value) query.set("url_column", column.value);
    try {
      show(await ask(`/api/v1/lists/preview?${query}`, { method: "POST", body: file.slice(0, PREVIEW_BYTES), headers: { "Content-Type": "application/octet-stream" } }));
      go.disabled = false;
    } catch (problem) {
      fill(preview, notice(problem));
    }
  }
  function show(found) {
    if (column.options.length === 1 && found.columns.length > 1) {
      found.columns.forEach((one) => column.append(h("option", { value: one }, one)));
      column.disabled = false;
    }
    const others = found.columns.filter((one) => one !== found.url_column).slice(0, 5);
    const all = found.rows.length === found.good_urls;
    announce(`${found.url_column} is the column with the URLs`);
    fill(
      preview,
      h("p", { class: all ? "notice good" : "notice warn" }, "URLs are read from ", h("strong", found.url_column), `: ${number(found.good_urls)} of the first ${number(found.rows.length)} rows can be fetched. `, h("span.sub", `${found.format}, ${found.compression}${found.has_header ? ", with a header" : ""}`)),
      h("div.table-wrap", { tabindex: "0", role: "region", "aria-label": "First rows" }, h("table.list.preview", h("thead", h("tr", h("th", { scope: "col" }, "Line"), h("th.url", { scope: "col" }, found.url_column), others.map((one) => h("th", { scope: "col" }, one)))), h("tbody", found.rows.slice(0, 8).map((row) => {
        const extra = new Map(row.extra);
        return h("tr", h("td", number(row.line)), h("td.url", row.url ?? "", row.fault && h("span.why", row.fault)), others.map((one) => h("td", extra.get(one) ?? "")));
      })))),
    );
  }
  function options() {
    const wanted = { measure: main.querySelector("input[name=measure]:checked").value };
    if (column.value) wanted.url_column = column.value;
    if (labels.checked) wanted.vision = {};
    if (since.value) wanted.since = since.value;
    if (webhook.value) wanted.webhook = webhook.value;
    const packs = [...main.querySelectorAll("input[name=rules]:checked")].map((one) => one.value);
    if (packs.length) wanted.rules = packs;
    const bits = Number(distance.value);
    if (bits !== 6 || positions.value !== "upright" || against.value) wanted.duplicates = { distance: bits, positions: positions.value, ...(against.value && { against: against.value }) };
    return wanted;
  }
  async function submit(event) {
    event.preventDefault();
    running = new AbortController();
    go.disabled = true;
    bar.hidden = stopButton.hidden = false;
    fill(said);
    try {
      const progress = { signal: running.signal, onProgress: (share) => (bar.value = share) };
      const begun = await interrupted(file);
      let id = begun;
      if (begun && confirm("A part of this list is there already. Go on with it, with the options of then?")) await sendParts(file, begun, progress);
      else id = await upload(file, { name: name.value.trim(), autoStart: autoStart.checked, options: options() }, progress);
      location.hash = `#/batches/${id}`;
    } catch (problem) {
      go.disabled = false;
      bar.hidden = stopButton.hidden = true;
      if (problem.name !== "AbortError") fill(said, notice(problem));
    }
  }
  fill(
    main,
    h("h1", "New batch"),
    h("form.new", { onsubmit: submit }, picker, zone, preview, h("div.fields", h("div", h("label", { for: "name" }, "Name"), name), h("div", h("label", { for: "column" }, "Column with the URLs"), column)), measure, more, h("label.check", labels, h("span", "Have a model say what each image shows")), h("label.check", autoStart, h("span", "Start at once")), h("div.actions", go, bar, stopButton), said),
  );
  return () => running?.abort();
}
