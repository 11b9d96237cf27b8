// Routes: the part of the address after # decides what is shown.
import { announce, fill, h, notice } from "./dom.js";
import { ask, hasToken, onSignedOut, setToken } from "./api.js";
import { signIn } from "./sign-in.js";
import { batches } from "./batches.js";
import { newBatch } from "./new-batch.js";
import { batch } from "./batch.js";
import { board } from "./board.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const who = document.getElementById("who");
let leave = () => {};

const ROUTES = [
  [/^#?\/?$/, "Batches", () => batches(main)],
  [/^#\/new$/, "New batch", () => newBatch(main)],
  [/^#\/board$/, "Board", () => board(main)],
  [/^#\/batches\/([0-9A-Z]{26})(?:\/(\w+))?(?:\?(.*))?$/, "Batch", (id, tab, query) => batch(main, id, tab || "progress", new URLSearchParams(query || ""))],
];

function show() {
  leave();
  leave = () => {};
  if (!hasToken()) return showSignIn();
  const at = location.hash;
  for (const [pattern, title, view] of ROUTES) {
    const found = at.match(pattern);
    if (!found) continue;
    document.title = `${title} · imgsweep`;
    for (const link of nav.children) {
      const is = link.getAttribute("href") === (at || "#/") || (link.getAttribute("href") === "#/" && at.startsWith("#/batches/"));
      link.toggleAttribute("aria-current", is);
      if (is) link.setAttribute("aria-current", "page");
    }
    leave = view(...found.slice(1)) || (() => {});
    announce(title);
    return undefined;
  }
  fill(main, h("p.empty", "There is no such page. ", h("a", { href: "#/" }, "To the batches")));
  return undefined;
}

function showSignIn(problem) {
  nav.hidden = who.hidden = true;
  document.title = "Sign in · imgsweep";
  signIn(main, problem, async () => {
    await introduce();
    show();
  });
}

async function introduce() {
  const caller = await ask("/api/v1/token");
  nav.hidden = who.hidden = false;
  fill(who, h("span.name", { title: `scope ${caller.scope}` }, caller.name), h("button.quiet", { onclick: signOut }, "Sign out"));
}

function signOut() {
  setToken(null);
  location.hash = "#/";
  show();
}

onSignedOut((problem) => {
  if (!hasToken()) return;
  setToken(null);
  leave();
  leave = () => {};
  showSignIn(problem);
});
addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});

if (hasToken()) introduce().then(show, (problem) => (hasToken() ? fill(main, notice(problem)) : undefined));
else show();
