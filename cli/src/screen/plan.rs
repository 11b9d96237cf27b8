//! A plan on a terminal: the times, the bill, what holds it up, what would be better.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use planning::workload::{Pollers, Setup};
use planning::{Plan, function::Station};

use crate::commands::plan::PlanSummary;

/// Cheaper lines of the bill are added up in one.
const SMALL_USD: f64 = 0.005;

/// The plan as text.
pub(crate) fn render(summary: &PlanSummary) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_plan(&mut text, summary);
    text
}

fn write_plan(text: &mut String, summary: &PlanSummary) -> std::fmt::Result {
    let plan = &summary.plan;
    let workload = &plan.workload;
    writeln!(
        text,
        "\n{} images of {:.0} kB, {:.0} ms away on {} hosts, {:.1} ms of processor time each\n",
        HumanCount(workload.urls),
        workload.body_bytes / 1e3,
        workload.latency_s * 1e3,
        HumanCount(workload.hosts),
        workload.cpu_s * 1e3,
    )?;
    writeln!(
        text,
        "{} · ${:.2} · ${:.3} a million\n",
        time(plan.timeline.total_s),
        plan.cost.total_usd,
        plan.cost.usd_per_million
    )?;
    writeln!(text, "{}\n", times(plan))?;
    writeln!(text, "{}\n", bill(plan))?;
    let bottleneck = &summary.bottleneck;
    writeln!(
        text,
        "Bottleneck: {}. Twice as much would save {}.\n  To do: {}.\n",
        bottleneck.resource,
        time(bottleneck.doubling_saves_s),
        bottleneck.remedy
    )?;
    let recommended = &summary.recommended;
    writeln!(
        text,
        "Recommended, to be done within {}: {}\n  {} · ${:.2}\n",
        time(summary.within_s),
        set_up(&recommended.setup),
        time(recommended.timeline.total_s),
        recommended.cost.total_usd
    )?;
    if let (Some(simulated), Some(took_s)) = (&summary.simulated, summary.simulation_s) {
        let off = plan.timeline.total_s / simulated.total_s - 1.0;
        writeln!(
            text,
            "Simulated: {}, {} invocations, {} refused and tried again, {} cold starts, {} functions at once; the plan says {:+.1} % ({took_s:.1} s to simulate)\n",
            time(simulated.total_s),
            HumanCount(simulated.invocations),
            HumanCount(simulated.throttles),
            HumanCount(simulated.cold_starts),
            HumanCount(simulated.functions),
            off * 100.0
        )?;
    }
    let prices = &summary.facts.prices;
    let oldest = prices.items().map(|(_, price)| price.as_of.as_str()).min();
    writeln!(
        text,
        "List prices of {}, the oldest known for {}, before any free tier; sources and dates with --json.",
        prices.region,
        oldest.unwrap_or("an unknown day")
    )
}

fn times(plan: &Plan) -> Table {
    let mut table = table(["Time", "", ""]);
    let (chunk, timeline) = (&plan.chunk, &plan.timeline);
    let bound_by = match chunk.bound_by {
        Station::Cpu => "processor",
        Station::Network => "network",
        Station::Latency => "waiting for hosts",
    };
    let mut row = |what: &str, seconds: f64, note: String| {
        table.add_row([what.to_owned(), time(seconds), note]);
    };
    row(
        "one chunk",
        chunk.total_s,
        format!("{:.0} rows/s, bound by: {bound_by}", chunk.rows_per_s),
    );
    row(
        "list cut into chunks",
        timeline.split_s,
        format!("{} chunks", HumanCount(plan.chunks)),
    );
    row(
        "functions ramped up",
        timeline.ramp_s,
        format!("{} at once", HumanCount(timeline.functions)),
    );
    row("last row done", timeline.analyze_s, set_up(&plan.setup));
    if timeline.vision_s > 0.0 {
        let vision = plan.workload.vision.as_ref();
        let instances =
            vision.map(|vision| format!("VisionMaximumConcurrency={}", vision.instances()));
        row(
            "last label there",
            timeline.vision_s,
            instances.unwrap_or_default(),
        );
    }
    row("report, duplicates", timeline.finalize_s, String::new());
    let lists = plan.workload.lists();
    if lists > 1 {
        let note = format!(
            "{} lists of {}, one after another",
            HumanCount(lists),
            HumanCount(plan.workload.rows_per_list())
        );
        row("one list", timeline.list_s, note);
    }
    row("in all", timeline.total_s, String::new());
    table
}

fn bill(plan: &Plan) -> Table {
    let mut table = table(["Cost", "", "Quantity", "USD"]);
    let mut small_usd = 0.0;
    for line in &plan.cost.lines {
        if line.usd < SMALL_USD {
            small_usd += line.usd;
            continue;
        }
        table.add_row([
            line.service.to_owned(),
            line.what.to_owned(),
            format!("{} {}", quantity(line.quantity), line.unit),
            format!("{:.2}", line.usd),
        ]);
    }
    table.add_row(["the rest", "", "", &format!("{small_usd:.2}")]);
    let total = format!("{:.2}", plan.cost.total_usd);
    table.add_row(["in all", "", "", &total]);
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn set_up(setup: &Setup) -> String {
    let pollers = match setup.pollers {
        Pollers::Standard => "standard pollers".to_owned(),
        Pollers::Provisioned { at_least } => format!("{at_least} provisioned pollers"),
    };
    format!(
        "{} rows a chunk, {} MB, {} requests a function, {} functions, {pollers}",
        HumanCount(setup.chunk_size),
        HumanCount(setup.memory_mb),
        setup.requests,
        HumanCount(setup.functions)
    )
}

fn quantity(quantity: f64) -> String {
    if quantity < 100.0 {
        format!("{quantity:.2}")
    } else {
        HumanCount(quantity.round() as u64).to_string()
    }
}

/// `12 s`, `3 min 20 s`, `5 h 10 min`.
fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes) = (whole / 3_600, whole % 3_600 / 60);
    match (hours, minutes) {
        (0, 0) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0) => format!("{whole} s"),
        (0, _) => format!("{minutes} min {} s", whole % 60),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(time(0.25), "0.2 s");
        assert_eq!(time(42.0), "42 s");
        assert_eq!(time(200.0), "3 min 20 s");
        assert_eq!(time(18_600.0), "5 h 10 min");
    }
}
