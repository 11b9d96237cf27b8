// How the system is: indicators, bottlenecks, objectives, the last hour.
import { announce, card, duration, fill, h, notice, number, words } from "./dom.js";
import { ask, poll } from "./api.js";
import { line } from "./charts.js";

const UNITS = { percent: "%", milliseconds: "ms", messages: "", seconds: "s" };
const COLORS = { green: ["good", "on target"], amber: ["busy", "off target"], red: ["bad", "critical"], grey: ["quiet", "not measured"] };

export function board(main) {
  const said = h("div");
  const top = h("div.indicators");
  const way = h("div");
  const promises = h("div");
  const charts = h("div.charts");
  const system = h("div");
  let wasCritical = false;
  fill(main, h("div.heading", h("h1", "Board"), h("p.sub", "the last five minutes, and the hour before; seen again every five seconds")), said, top, h("div.columns", card("What is in the way", way), card("Objectives", promises)), card("The last hour", charts), card("System", system));

  async function seen(kpi) {
    fill(said);
    fill(top, kpi.indicators.map((one) => {
      const unit = UNITS[one.unit] ?? one.unit;
      const [name, meaning] = COLORS[one.color];
      return h(`div.indicator.${name}`, h("span.title", one.title), h("strong", one.now === null ? "–" : `${number(one.now)} ${unit}`), h("span.sub", h("span.state", meaning), ` · target ${one.higher_is_better ? ">" : "<"} ${number(one.target)} ${unit}, critical ${number(one.critical)}`));
    }));
    const isCritical = kpi.indicators.some((one) => one.color === "red");
    if (isCritical !== wasCritical) announce(isCritical ? "An indicator is critical" : "No indicator is critical");
    wasCritical = isCritical;
    const points = (pick) => kpi.series.map((point) => ({ at: point.minute, value: pick(point) }));
    fill(charts, line("Rows", points((point) => point.rows), { unit: "a minute" }), line("Errors", points((point) => point.errors), { unit: "a minute", color: "b" }), line("A row takes, 95 of 100", points((point) => point.fetch_p95_ms), { unit: "ms" }), line("API, 95 of 100", points((point) => point.api_p95_ms), { unit: "ms", bounds: [200] }), line("Processors", points((point) => point.cpu_percent), { unit: "%", bounds: [90] }), line("Messages that wait", points((point) => point.pending), { color: "b" }));
    try {
      const [slo, bottlenecks, resources] = await Promise.all([ask("/api/v1/monitoring/slo"), ask("/api/v1/monitoring/bottlenecks"), ask("/api/v1/monitoring/system")]);
      showObjectives(slo);
      showBottlenecks(bottlenecks);
      showSystem(resources);
    } catch (problem) {
      fill(said, notice(problem));
    }
    return true;
  }
  function showBottlenecks({ bottlenecks }) {
    if (!bottlenecks.length) return fill(way, h("p.empty.good", "Nothing is in the way."));
    return fill(way, h("ol.bottlenecks", bottlenecks.map((one) => h("li", h("h3", h(`span.badge.${one.severity === "high" ? "bad" : "busy"}`, one.severity), " ", one.title), h("ul", one.evidence.map((sentence) => h("li", sentence))), h("p.remedy", one.remedy)))));
  }
  function showObjectives({ objectives }) {
    return fill(promises, h("ul.objectives", objectives.map((one) => {
      const unit = UNITS[one.unit] ?? one.unit;
      const share = Math.min(1, one.burn ?? 0);
      const bar = h("span.bar");
      bar.style.width = `${share * 100}%`;
      bar.classList.add(one.violated ? "bad" : share > 0.7 ? "busy" : "good");
      return h("li", h("div.line", h("strong", words(one.name)), h(`span.badge.${one.violated ? "bad" : one.actual === null ? "quiet" : "good"}`, one.violated ? "violated" : one.actual === null ? "not measured" : "kept")), h("p.sub", one.objective), h("span.track", { "aria-hidden": "true" }, bar), h("p.sub", one.actual === null ? "–" : `${number(one.actual)} ${unit} of ${number(one.budget)} ${unit}: ${number(one.burn)} times the budget`, one.violations.length > 0 && ` · exceeded in ${one.violations.length} minutes of the hour`));
    })));
  }
  function showSystem(found) {
    const figure = (label, value) => h("div.figure", h("span", label), h("strong", value));
    const { limits, scaling } = found;
    const of = (limit) => (limit === null ? "" : ` of ${number(limit)}`);
    return fill(system, h("div.figures", figure("Processors", found.cpu_percent === null ? "–" : `${number(found.cpu_percent)} %${of(limits.processors)}`), figure("Memory", found.memory_mb === null ? "–" : `${number(Math.round(found.memory_mb))} MiB`), figure("Chunks under way", found.active_workers === null ? "–" : number(found.active_workers)), figure("Waiting", number(found.pending)), figure("Given up", number(found.dead_letters)), figure("Time to clear", scaling.minutes_to_clear === null ? "–" : duration(scaling.minutes_to_clear * 60))), h("p", h("strong", "Scaling: "), scaling.action === "hold" ? `hold at ${scaling.workers}` : `${words(scaling.action)} from ${scaling.workers} to ${scaling.advised_workers}`, ` – ${scaling.reasons.join("; ")}`));
  }
  return poll("/api/v1/monitoring/dashboard/kpi", 5, (kpi) => {
    seen(kpi);
    return true;
  }, (problem) => fill(said, notice(problem)));
}
