//! A record, and a comparison, on a terminal.

use std::fmt::Write;

use benchmarks::compare::{Comparison, percent};
use benchmarks::record::Record;
use comfy_table::{CellAlignment, Table, presets};

/// The measurement as text.
pub(super) fn render(record: &Record, comparison: Option<&Comparison>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, record, comparison);
    text
}

fn write(text: &mut String, record: &Record, comparison: Option<&Comparison>) -> std::fmt::Result {
    let machine = &record.machine;
    writeln!(
        text,
        "\n{} × {}, {} MB, {}, load {:.1}; {} build\n",
        machine.processors,
        machine.processor,
        machine.memory_mb,
        machine.system,
        machine.load,
        record.build
    )?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec![
        "case",
        "",
        "a second",
        "ms each",
        "CPU-ms each",
        "success %",
    ];
    if comparison.is_some() {
        header.extend(["CPU against before", "between", "time against before"]);
    }
    table.set_header(header);
    for case in &record.cases {
        let mut row = vec![
            case.name.clone(),
            case.unit.clone(),
            format!("{:.1}", case.per_second()),
            format!("{:.3}", case.wall_s() * 1e3),
            format!("{:.3}", case.cpu_s() * 1e3),
            format!("{:.1}", case.success() * 100.0),
        ];
        let compared =
            comparison.and_then(|all| all.cases.iter().find(|one| one.name == case.name));
        if let Some(compared) = compared {
            let cpu = compared.cpu;
            row.push(percent(cpu.ratio));
            row.push(format!("{} … {}", percent(cpu.low), percent(cpu.high)));
            row.push(percent(compared.wall.ratio));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{table}")?;
    let Some(comparison) = comparison else {
        return Ok(());
    };
    writeln!(
        text,
        "\nAll together: {} processor time",
        percent(comparison.cpu)
    )?;
    for missing in &comparison.missing {
        writeln!(text, "Not measured this time: {missing}")?;
    }
    for warning in &comparison.warnings {
        writeln!(
            text,
            "Little to be learnt from it, because they differ: {warning}"
        )?;
    }
    if comparison.regressions.is_empty() {
        writeln!(text, "Nothing is slower by more than 10 %.")?;
    }
    for regression in &comparison.regressions {
        writeln!(text, "Slower: {regression}")?;
    }
    Ok(())
}
