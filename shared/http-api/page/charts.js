// Small charts: a line over time, bars, and shares of a whole.
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

const WIDTH = 560;
const HEIGHT = 120;

function bar(x, width, y, height, className, title) {
  return s("rect", { x: x.toFixed(1), width: Math.max(0.5, width).toFixed(1), y: y.toFixed(1), height: Math.max(0, height).toFixed(1), class: className }, s("title", {}, title));
}

/** A distribution: a bar a bucket. `edge` says a value as a person reads it. */
export function bars(one, edge) {
  const most = Math.max(1, ...one.buckets.map((bucket) => bucket.rows));
  const step = WIDTH / Math.max(1, one.buckets.length);
  const range = (bucket) => (bucket.from === null ? `below ${edge(bucket.to)}` : bucket.to === null ? `${edge(bucket.from)} and more` : `${edge(bucket.from)} to ${edge(bucket.to)}`);
  const described = `${one.title}: ${one.buckets.map((bucket) => `${range(bucket)}: ${number(bucket.rows)} rows`).join("; ")}`;
  return h(
    "figure.chart",
    h("figcaption", h("span", one.title), h("strong", `mean ${edge(one.mean)}`)),
    s("svg", { viewBox: `0 -4 ${WIDTH} ${HEIGHT + 8}`, role: "img", "aria-label": described, preserveAspectRatio: "none" }, one.buckets.map((bucket, index) => {
      const height = (bucket.rows / most) * HEIGHT;
      return bar(index * step + 1, step - 2, HEIGHT - height, height, "fill-a", `${range(bucket)}: ${number(bucket.rows)} rows`);
    }), s("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" })),
    h("div.ends", h("span", edge(one.min)), h("span", edge(one.max))),
  );
}

/** Good and bad above each other over time. `steps` are {at, good, bad}, `seconds` is the length of one. */
export function stacked(title, steps, seconds) {
  const first = steps[0].at.getTime();
  const span = Math.max(1, (steps[steps.length - 1].at.getTime() - first) / 1000 + seconds);
  const most = Math.max(0.001, ...steps.map((one) => one.good + one.bad));
  const clock = (date) => date.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const described = `${title}: at most ${number(Math.round(most * 10) / 10)} rows a second, from ${clock(steps[0].at)} on`;
  return h(
    "figure.chart",
    h("figcaption", h("span", "Rows a second"), h("strong", `at most ${number(Math.round(most * 10) / 10)}`)),
    s("svg", { viewBox: `0 -4 ${WIDTH} ${HEIGHT + 8}`, role: "img", "aria-label": described, preserveAspectRatio: "none" }, steps.map((one) => {
      const x = (((one.at.getTime() - first) / 1000) * WIDTH) / span;
      const width = (seconds * WIDTH) / span - (steps.length < 100 ? 1 : 0);
      const good = (one.good / most) * HEIGHT;
      const bad = (one.bad / most) * HEIGHT;
      const said = `${clock(one.at)}: ${number(Math.round((one.good + one.bad) * 10) / 10)} rows a second`;
      return [bar(x, width, HEIGHT - good, good, "fill-good", said), bad > 0 && bar(x, width, HEIGHT - good - bad, bad, "fill-bad", said)];
    }), s("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" })),
    h("div.ends", h("span", clock(steps[0].at)), h("span", clock(new Date(first + span * 1000)))),
  );
}
