// Two small charts: a line over time, and shares of a whole.
import { h, number, s, tone, words } from "./dom.js";

/** A line over the last hour. `points` are {at, value}; gaps stay gaps. */
export function line(title, points, { unit = "", bounds = [], color = "a" } = {}) {
  const width = 560;
  const height = 120;
  const values = points.map((point) => point.value).filter((value) => value !== null);
  const top = Math.max(1, ...values, ...bounds.slice(0, 1)) * 1.1;
  const x = (index) => (index * width) / Math.max(1, points.length - 1);
  const y = (value) => height - (value / top) * height;
  let path = "";
  let pen = false;
  points.forEach((point, index) => {
    if (point.value === null) pen = false;
    else {
      path += `${pen ? "L" : "M"}${x(index).toFixed(1)} ${y(point.value).toFixed(1)}`;
      // A value alone between gaps is a dot.
      if (!pen && (points[index + 1]?.value ?? null) === null) path += "h0.1";
      pen = true;
    }
  });
  const last = values.length ? values[values.length - 1] : null;
  const described = `${title}: ${last === null ? "nothing measured" : `${number(last)} ${unit} now, at most ${number(Math.max(...values))} ${unit} within the hour`}`;
  return h(
    "figure.chart",
    h("figcaption", h("span", title), h("strong", last === null ? "–" : `${number(last)} ${unit}`)),
    s(
      "svg",
      { viewBox: `-4 -4 ${width + 8} ${height + 8}`, role: "img", "aria-label": described, preserveAspectRatio: "none" },
      s("line", { x1: 0, x2: width, y1: height, y2: height, class: "axis" }),
      bounds.filter((bound) => bound < top).map((bound) => s("line", { x1: 0, x2: width, y1: y(bound), y2: y(bound), class: "bound" })),
      s("path", { d: path, class: `stroke-${color}` }),
    ),
    h("div.ends", h("span", "an hour ago"), h("span", "now")),
  );
}

/** Shares of a whole, the largest first: a bar a name, each a link where `href` gives one. */
export function shares(entries, whole, href) {
  const sorted = [...entries].filter(([, count]) => count > 0).sort((left, right) => right[1] - left[1]);
  const most = sorted.length ? sorted[0][1] : 1;
  return h(
    "ul.shares",
    sorted.map(([name, count]) => {
      const bar = h("span.bar");
      bar.style.width = `${Math.max(1, (count * 100) / most)}%`;
      bar.classList.add(tone(name));
      const share = whole ? ` (${((count * 100) / whole).toFixed(1)} %)` : "";
      const label = [h("span.label", words(name)), h("span.count", `${number(count)}${share}`), h("span.track", { "aria-hidden": "true" }, bar)];
      return h("li", href ? h("a", { href: href(name) }, label) : h("span.plain", label));
    }),
  );
}

/** How far: a bar of good and bad parts. */
export function progressBar(done, total, ok, failed) {
  const share = total ? done / total : 0;
  const part = (className, count) => {
    const node = h(`span.${className}`);
    node.style.width = `${total ? (count * 100) / total : 0}%`;
    return node;
  };
  return h("div.progress", { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.floor(share * 100)), "aria-label": "Rows done" }, part("good", ok), part("quiet", done - ok - failed), part("bad", failed));
}
