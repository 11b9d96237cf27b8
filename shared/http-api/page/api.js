// The API: one function to ask, one to upload. The token stays in this tab.

const KEY = "imgsweep.token";
let token = sessionStorage.getItem(KEY);
export const hasToken = () => Boolean(token);
export function setToken(value) {
  token = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/** What the server refused, in its own words. */
export class Problem extends Error {
  constructor(status, document) {
    super(document?.detail || document?.title || `The server answered with status ${status}.`);
    this.status = status;
    this.type = document?.type;
  }
}

let signedOut = () => {};
export const onSignedOut = (listener) => (signedOut = listener);

export async function ask(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const request = { method, signal, headers: { ...headers, Authorization: `Bearer ${token}` } };
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    request.headers["Content-Type"] = "application/json";
  } else if (body !== undefined) request.body = body;
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server cannot be reached." });
  }
  if (response.status === 204) return null;
  if (response.ok) return response.json();
  const problem = new Problem(response.status, await response.json().catch(() => null));
  if (response.status === 401) signedOut(problem);
  throw problem;
}

/** Sends a body with progress: `onProgress(share)`. */
export function send(method, url, body, { authorized, onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    if (authorized) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress?.(event.loaded / event.total));
    request.addEventListener("load", () => {
      let document = null;
      try {
        document = JSON.parse(request.responseText);
      } catch {
        // Object stores answer with nothing, or with XML.
      }
      if (request.status >= 200 && request.status < 300) resolve(document);
      else reject(new Problem(request.status, document));
    });
    request.addEventListener("error", () => reject(new Problem(0, { detail: "The connection broke while the list was sent." })));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

const IN_ONE_FORM = 4_000_000;
const IN_ONE_PIECE = 100_000_000;
const PARTS_AT_ONCE = 3;
const VAIN_ROUNDS = 5;

/** Addresses of this server are of its own origin, whatever it is called here. */
function reachable(text) {
  const address = new URL(text);
  return address.pathname.startsWith("/uploads/") ? address.pathname + address.search : address.href;
}

/** What a long list was being sent to, should the page be opened again. */
const memory = {
  key: (file) => `imgsweep.upload ${file.name} ${file.size} ${file.lastModified}`,
  get: (file) => localStorage.getItem(memory.key(file)),
  set: (file, id) => localStorage.setItem(memory.key(file), id),
  drop: (file) => localStorage.removeItem(memory.key(file)),
};

/** The batch that a long list was begun to be sent to and that still awaits it. */
export async function interrupted(file) {
  const id = file.size > IN_ONE_PIECE && memory.get(file);
  if (!id) return null;
  try {
    const detail = await ask(`/api/v1/batches/${id}`);
    if (detail.status === "PENDING" && detail.list.bytes === null) return id;
  } catch (problem) {
    if (problem.status !== 404) throw problem;
  }
  memory.drop(file);
  return null;
}

/** Sends a list in parts: those that are there already are left out. */
export async function sendParts(file, id, { onProgress, signal }) {
  const path = `/api/v1/batches/${id}/parts`;
  const json = { bytes: file.size };
  let before = -1;
  for (let vain = 0; ; ) {
    const found = await ask(path, { method: "POST", json, signal });
    if (!found.missing.length) break;
    vain = found.bytes_there > before ? 0 : vain + 1;
    before = found.bytes_there;
    const sent = new Map();
    const progress = () => onProgress?.((found.bytes_there + [...sent.values()].reduce((sum, bytes) => sum + bytes, 0)) / file.size);
    progress();
    const waiting = [...found.missing];
    const worker = async () => {
      for (let part = waiting.shift(); part; part = waiting.shift()) {
        const { number, offset, bytes, url } = part;
        await send("PUT", reachable(url), file.slice(offset, offset + bytes), { signal, onProgress: (share) => { sent.set(number, share * bytes); progress(); } });
        sent.set(number, bytes);
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, worker));
    const failed = ends.find((end) => end.status === "rejected")?.reason;
    if (!failed) continue;
    if (failed.name === "AbortError" || vain >= VAIN_ROUNDS) throw failed;
    await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** vain));
  }
  await ask(`${path}/complete`, { method: "POST", json, signal });
  memory.drop(file);
}

/** Hands a list in: in a form when it is small, at an address of its own when it is not, in parts when it is long. Resolves to the batch's id. */
export async function upload(file, { name, autoStart, options }, { onProgress, signal }) {
  if (file.size <= IN_ONE_FORM) {
    const form = new FormData();
    form.append("options", JSON.stringify(options));
    form.append("auto_start", String(autoStart));
    if (name) form.append("batch_name", name);
    form.append("file", file, file.name);
    const accepted = await send("POST", "/upload", form, { authorized: true, onProgress, signal });
    return accepted.batch_id;
  }
  const created = await ask("/api/v1/batches", { method: "POST", json: { list_name: file.name, name: name || undefined, auto_start: autoStart, options } });
  if (file.size > IN_ONE_PIECE) {
    memory.set(file, created.batch_id);
    await sendParts(file, created.batch_id, { onProgress, signal });
  } else await send("PUT", reachable(created.upload.url), file, { onProgress, signal });
  return created.batch_id;
}

/** Asks again and again while the page is looked at; `stop()` ends it. */
export function poll(path, seconds, seen, failed) {
  let timer = null;
  let stopped = false;
  const controller = new AbortController();
  async function turn() {
    if (!document.hidden) {
      try {
        const again = seen(await ask(path, { signal: controller.signal }));
        if (again === false) return;
      } catch (problem) {
        if (problem.name === "AbortError" || stopped) return;
        failed?.(problem);
        if (problem.status === 401 || problem.status === 404) return;
      }
    }
    if (!stopped) timer = setTimeout(turn, seconds * 1000);
  }
  turn();
  return () => {
    stopped = true;
    clearTimeout(timer);
    controller.abort();
  };
}

/** Opens a page that needs the token, such as the report: fetched here, shown from memory. */
export async function openPage(path) {
  // Opened at once, while the click counts; later, browsers would take it for an advertisement.
  const view = open("", "_blank");
  try {
    const response = await fetch(path, { headers: { Authorization: `Bearer ${token}`, Accept: "text/html" } });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
    const url = URL.createObjectURL(await response.blob());
    if (view) {
      view.opener = null;
      view.location = url;
    } else location.assign(url);
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (problem) {
    view?.close();
    throw problem;
  }
}

/** Fetches a file with the token and hands it to the browser to keep. */
export async function download(path, name) {
  const get = () => fetch(path, { headers: { Authorization: `Bearer ${token}` } });
  let response = await get();
  // A large table is written first where answers have to be short.
  while (response.status === 202) {
    const seconds = Number(response.headers.get("Retry-After")) || 5;
    await new Promise((resume) => setTimeout(resume, seconds * 1000));
    response = await get();
  }
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
