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

/** Hands a list in: in a form when it is small, at an address of its own when it is not. Resolves to the batch's id. */
export async function upload(file, fields, { onProgress, signal }) {
  if (file.size <= IN_ONE_FORM) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value !== "" && value !== undefined) form.append(name, value);
    form.append("file", file, file.name);
    const accepted = await send("POST", "/upload", form, { authorized: true, onProgress, signal });
    return accepted.batch_id;
  }
  const options = {};
  for (const name of ["url_column", "list_format", "measure"]) if (fields[name]) options[name] = fields[name];
  if (fields.vision === "true") options.vision = {};
  if (fields.chunk_size) options.chunk_size = Number(fields.chunk_size);
  const created = await ask("/api/v1/batches", { method: "POST", json: { list_name: file.name, name: fields.batch_name || undefined, auto_start: fields.auto_start !== "false", options } });
  // One machine gives out addresses of its own origin, whatever it is called here.
  const address = new URL(created.upload.url);
  const url = address.pathname.startsWith("/uploads/") ? address.pathname + address.search : address.href;
  await send("PUT", url, file, { onProgress, signal });
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
