//! Measures the files named on the command line and prints one JSON object a line: the path, then the measurement or the
//! error. `--full` decodes every pixel, `--header` none.
//!
//! `cargo run --release -p imaging --example measure -- [--full | --header] FILE…`

use std::io::{self, Write};
use std::time::Instant;

use domain::{Limits, MeasureMode, Measurement};
use imaging::{ImageError, Measured, Measurer};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let measurer = Measurer::new(&Limits::default());
    let mut mode = MeasureMode::Fast;
    let mut output = io::stdout().lock();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--full" => mode = MeasureMode::Full,
            "--header" => mode = MeasureMode::Header,
            path => {
                let bytes = std::fs::read(path)?;
                let started = Instant::now();
                let result = measurer.measure(&bytes, mode);
                let microseconds = started.elapsed().as_micros() as u64;
                let mut line = to_json(result);
                line["path"] = json!(path);
                line["microseconds"] = json!(microseconds);
                writeln!(output, "{line}")?;
            }
        }
    }
    Ok(())
}

fn to_json(result: Result<Measured, ImageError>) -> Value {
    match result {
        Ok(measured) => {
            let sha256 = measured.sha256.map(|digest| {
                let digits = digest.iter().map(|byte| format!("{byte:02x}"));
                digits.collect::<String>()
            });
            let mut value = fields(&measured.measurement);
            value["outcome"] = json!("ok");
            value["sha256"] = json!(sha256);
            value
        }
        Err(error) => json!({"outcome": error.outcome(), "detail": error.to_string()}),
    }
}

fn fields(measurement: &Measurement) -> Value {
    json!({
        "format": measurement.format,
        "width": measurement.width,
        "height": measurement.height,
        "frames": measurement.frames,
        "has_alpha": measurement.has_alpha,
        "orientation": measurement.orientation,
        "color_space": measurement.color_space,
        "exif": measurement.exif,
        "phash": measurement.phash,
        "dhash": measurement.dhash,
        "thumbhash": measurement.thumbhash,
        "mean_rgb": measurement.mean_rgb,
        "palette": measurement.palette,
        "brightness": measurement.brightness,
        "contrast": measurement.contrast,
        "saturation": measurement.saturation,
        "sharpness": measurement.sharpness,
        "entropy": measurement.entropy,
        "issues": measurement.issues,
    })
}
