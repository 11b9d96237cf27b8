//! `imgsweep bench --sweep`: the best chunk size and concurrency for hosts that are some way off.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use benchmarks::machine::Machine;
use benchmarks::sweep::{Setting, Sweep, Tried};
use comfy_table::{CellAlignment, Table, presets};
use sample_origin::{Corpus, Origin, OriginOptions};

use super::suites::{EngineRun, good_list};
use crate::args::bench::BenchArgs;
use crate::screen::print_data;

/// Before every answer.
const LATENCY: Duration = Duration::from_millis(20);
/// What is tried, every size with every concurrency.
const CHUNK_SIZES: [u32; 4] = [10, 50, 250, 1_000];
const CONCURRENCIES: [usize; 5] = [1, 8, 32, 128, 512];
/// Rows of the first round; quickly, and at length.
const ROWS: [usize; 2] = [40, 200];
/// Settings shown.
const SHOWN: usize = 8;

/// Tries all settings, and names the best.
pub(super) async fn sweep(args: &BenchArgs) -> anyhow::Result<()> {
    let corpus = tokio::task::spawn_blocking(|| Corpus::generate(1, 60)).await?;
    let options = OriginOptions {
        latency: LATENCY,
        ..OriginOptions::default()
    };
    let origin = Origin::start_with(Arc::new(corpus), options)
        .context("the loop-back image host could not be started")?;
    let settings = CHUNK_SIZES.into_iter().flat_map(|chunk_size| {
        CONCURRENCIES.map(|concurrency| Setting {
            chunk_size,
            concurrency,
        })
    });
    eprintln!(
        "Trying {} settings …",
        CHUNK_SIZES.len() * CONCURRENCIES.len()
    );
    let mut sweep = Sweep::new(settings);
    let rows = ROWS[usize::from(!args.quick)];
    while let Some((setting, times)) = sweep.next_try() {
        let run = EngineRun {
            list: good_list(&origin, rows * times as usize),
            chunk_size: setting.chunk_size,
            concurrency: setting.concurrency,
        };
        let started = Instant::now();
        let done = run.run().await?;
        sweep.report(setting, done.items as f64 / started.elapsed().as_secs_f64());
    }
    let ranking = sweep.ranking();
    let best = *ranking.first().context("nothing was tried")?;
    let document = serde_json::json!({
        "machine": Machine::here(),
        "latency_ms": LATENCY.as_millis() as u64,
        "best": best,
        "tried": ranking,
    });
    if let Some(path) = &args.save {
        fs::write(path, serde_json::to_string_pretty(&document)? + "\n")
            .with_context(|| format!("{} could not be written", path.display()))?;
    }
    let text = if args.json {
        serde_json::to_string_pretty(&document)?
    } else {
        render(best, &ranking)
    };
    print_data(&format!("{}\n", text.trim_end()))?;
    Ok(())
}

fn render(best: Tried, ranking: &[Tried]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["chunk size", "concurrency", "rows/s", "round"]);
    for tried in ranking.iter().take(SHOWN) {
        table.add_row([
            tried.setting.chunk_size.to_string(),
            tried.setting.concurrency.to_string(),
            format!("{:.0}", tried.rows_per_s),
            tried.round.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "\n{table}\n\nBest: --chunk-size {} --concurrency {}, {:.0} rows a second\n",
        best.setting.chunk_size, best.setting.concurrency, best.rows_per_s
    )
}
