//! Draws how the pool adapts to a provider that silently changes what it permits: 60 calls a minute and key, then 20, then 60 again.
//!
//! ```text
//! cargo run -p vision --example adaptation -- docs/images/vision-adaptation.svg
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a fault ends the measurement, and its figures are what it is for"
)]

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use std::fmt::Write;
use std::fs;

use simulation::{Scene, ten_keys};
use test_support::vision_provider::KeyCount;

/// Minutes, and what each key may do a minute.
const PHASES: &[(u32, usize)] = &[(20, 60), (30, 20), (50, 60)];
const KEYS: usize = 10;

/// A minute of all keys together.
struct Minute {
    permitted: f64,
    made: f64,
    refused: f64,
    /// Mean over the keys of the rate by successes and failures.
    rate: f64,
}

/// What a line of the plot shows.
type Figure = fn(&Minute) -> f64;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let path = std::env::args().nth(1);
    let path = path.unwrap_or_else(|| "vision-adaptation.svg".to_owned());
    let scene = Scene::start(ten_keys(PHASES[0].1));
    let observer = scene.pool();
    let mut minutes = Vec::new();
    for (length, permitted) in PHASES {
        scene.provider.permit(*permitted);
        for _ in 0..*length {
            let counts = scene.watch(1).await;
            let sum = |of: fn(&KeyCount) -> u64| counts.values().map(of).sum::<u64>() as f64;
            let states = observer.states().await.unwrap();
            let rates: f64 = states.iter().map(|(_, state)| state.rpm()).sum();
            minutes.push(Minute {
                permitted: *permitted as f64,
                made: sum(|count| count.permitted) / KEYS as f64,
                refused: sum(|count| count.rejected) / KEYS as f64,
                rate: rates / states.len().max(1) as f64,
            });
        }
    }
    let stats = scene.stop().await;
    let mut begin = 0;
    for (length, permitted) in PHASES {
        let phase = &minutes[begin..begin + *length as usize];
        begin += *length as usize;
        // What was learned in the first third is used in the rest.
        let learned = &phase[phase.len() / 3..];
        let sum = |of: fn(&Minute) -> f64| learned.iter().map(of).sum::<f64>();
        let (made, refused) = (sum(|minute| minute.made), sum(|minute| minute.refused));
        println!(
            "{permitted} calls a minute and key: {:.1} % of them made, {:.2} % refused, once learned",
            made / (*permitted as f64 * learned.len() as f64) * 100.0,
            refused / (made + refused) * 100.0
        );
    }
    println!(
        "{:.3} writes to the store a call",
        stats.writes as f64 / stats.calls as f64
    );
    fs::write(&path, plot(&minutes)).unwrap();
    println!("{path}");
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
const MOST: f64 = 110.0;

fn plot(minutes: &[Minute]) -> String {
    let x = |minute: f64| LEFT + minute / minutes.len() as f64 * (WIDTH - LEFT - RIGHT);
    let y = |calls: f64| HEIGHT - BOTTOM - calls / MOST * (HEIGHT - TOP - BOTTOM);
    let line = |of: fn(&Minute) -> f64| {
        let points = minutes.iter().enumerate();
        let points =
            points.map(|(at, minute)| format!("{:.1},{:.1}", x(at as f64 + 0.5), y(of(minute))));
        points.collect::<Vec<_>>().join(" ")
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Calls a minute and key while the provider changes what it permits</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for calls in [0, 20, 40, 60, 80, 100] {
        let at = y(f64::from(calls));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{calls}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for minute in (0..=minutes.len()).step_by(10) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">{minute}</text>",
            x(minute as f64),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">minutes</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 12.0
    );
    let lines: [(&str, &str, &str, Figure); 4] = [
        ("permitted", "#999", "6 4", |minute| minute.permitted),
        ("rate by successes", "#b08a00", "2 3", |minute| minute.rate),
        ("made", "#1b6ca8", "", |minute| minute.made),
        ("refused", "#c0392b", "", |minute| minute.refused),
    ];
    for (position, (name, colour, dashes, of)) in lines.into_iter().enumerate() {
        let at = LEFT + position as f64 * 150.0;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\n\
             <path d=\"M{at} 24h24\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{}\" y=\"28\" fill=\"#222\">{name}</text>",
            line(of),
            at + 30.0
        );
    }
    svg + "</svg>\n"
}
