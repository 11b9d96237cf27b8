//! x
use domain::*;
fn main() {
    let d = std::path::Path::new("/tmp/hostile");
    std::fs::create_dir_all(d).unwrap();
    for (n, b) in sample_origin::hostile::all() {
        std::fs::write(d.join(n), &b).unwrap();
        for m in [MeasureMode::Fast, MeasureMode::Full] {
            let t = std::time::Instant::now();
            let r = imaging::Measurer::new(&Limits::default()).measure(&b, m);
            let e = t.elapsed();
            match r {
                Ok(m) => eprintln!(
                    "{n}: ok {}x{} {:?} {e:?}",
                    m.measurement.width, m.measurement.height, m.measurement.frames
                ),
                Err(x) => eprintln!("{n}: {} {x} {e:?}", x.outcome()),
            }
        }
    }
}
