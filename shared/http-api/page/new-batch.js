// A new batch: drop a file, see how it is read, start.
import { announce, bytes, fill, h, notice, number } from "./dom.js";
import { ask, upload } from "./api.js";

const PREVIEW_BYTES = 256 * 1024;
const MEASURES = [
  ["fast", "Everything, fast", "format, size, hashes, quality, duplicates"],
  ["header", "Header only", "format and dimensions; reads the first bytes of each image"],
  ["full", "Everything, every pixel", "as the first, from full decoding"],
];

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
  async function submit(event) {
    event.preventDefault();
    running = new AbortController();
    go.disabled = true;
    bar.hidden = stopButton.hidden = false;
    fill(said);
    const fields = { batch_name: name.value.trim(), url_column: column.value, measure: main.querySelector("input[name=measure]:checked").value, auto_start: String(autoStart.checked), ...(labels.checked && { vision: "true" }) };
    try {
      const id = await upload(file, fields, { signal: running.signal, onProgress: (share) => (bar.value = share) });
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
    h("form.new", { onsubmit: submit }, picker, zone, preview, h("div.fields", h("div", h("label", { for: "name" }, "Name"), name), h("div", h("label", { for: "column" }, "Column with the URLs"), column)), measure, h("label.check", labels, h("span", "Have a model say what each image shows")), h("label.check", autoStart, h("span", "Start at once")), h("div.actions", go, bar, stopButton), said),
  );
  return () => running?.abort();
}
