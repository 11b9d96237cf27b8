//! Writes a corpus of `sample-origin` into a folder, for `tests/quality/compare_with_imagehash.py`: COUNT files of each profile
//! that is named, all fixtures, and one photograph in every variant and in twelve grades of blur.
//!
//! `cargo run --release -p imaging --example write_corpus -- FOLDER COUNT [demo] [bench]`

use std::error::Error;
use std::path::Path;

use sample_origin::corpus::encode::{JpegOptions, jpeg};
use sample_origin::corpus::{blurred, paint};
use sample_origin::{Corpus, Profile};

const SEED: u64 = 20_240;
const BLUR_GRADES: u32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, profiles @ ..] = arguments.as_slice() else {
        return Err("usage: write_corpus FOLDER COUNT [demo] [bench]".into());
    };
    let count = count.parse()?;
    let folder = Path::new(folder);
    for profile in profiles {
        let kind = match profile.as_str() {
            "demo" => Profile::Demo,
            "bench" => Profile::Bench,
            other => return Err(format!("there is no profile {other}").into()),
        };
        let corpus = Corpus::generate_profile(kind, SEED, count);
        write(&corpus, &folder.join(profile))?;
    }
    write(&Corpus::fixtures(), &folder.join("fixtures"))?;
    write(&Corpus::variants(SEED, 960, 640), &folder.join("variants"))?;
    write_blurs(&folder.join("blurs"))?;
    Ok(())
}

fn write(corpus: &Corpus, folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for sample in &corpus.images {
        std::fs::write(folder.join(&sample.name), &sample.bytes)?;
    }
    Ok(())
}

/// Three photographs, each less sharp from file to file.
fn write_blurs(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for photograph in 0..3 {
        let picture = paint::photograph(SEED + photograph, 960, 640);
        for grade in 0..BLUR_GRADES {
            let picture = match grade {
                0 => picture.clone(),
                _ => blurred(&picture, 0.4 * grade as f32),
            };
            let bytes = jpeg(&picture, &JpegOptions::default());
            std::fs::write(folder.join(format!("{photograph}-{grade:02}.jpeg")), bytes)?;
        }
    }
    Ok(())
}
