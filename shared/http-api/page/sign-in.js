// The token is asked for once and kept for the life of the tab.
import { fill, h, notice } from "./dom.js";
import { ask, setToken } from "./api.js";

export function signIn(main, problem, done) {
  const input = h("input", { type: "password", id: "token", name: "token", autocomplete: "current-password", required: true, spellcheck: "false" });
  const said = h("div", problem && problem.status !== 401 && notice(problem));
  const button = h("button.primary", { type: "submit" }, "Sign in");
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    fill(said);
    setToken(input.value.trim());
    try {
      await ask("/api/v1/token");
      await done();
    } catch (refused) {
      setToken(null);
      button.disabled = false;
      fill(said, notice(refused.status === 401 ? new Error("This token is not known here.") : refused));
      input.focus();
    }
  }
  fill(
    main,
    h(
      "section.sign-in.card",
      h("img", { src: "/assets/icon.svg", alt: "", width: "56", height: "56" }),
      h("h1", "Welcome"),
      h("p.lead", "Does every image of your list load, what is it, is it any good?"),
      h("form", { onsubmit: submit }, h("label", { for: "token" }, "Token"), input, button, said),
      h("p.hint", h("code", "imgsweep serve"), " prints one; ", h("code", "imgsweep token create"), " makes more. It is kept in this tab only."),
    ),
  );
  input.focus();
}
