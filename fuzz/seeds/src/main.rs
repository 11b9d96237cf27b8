//! Writes the inputs that every fuzz target starts from into `fuzz/corpus/TARGET/`, beside what earlier runs found.
//!
//! `cargo run --manifest-path fuzz/seeds/Cargo.toml`

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use sample_origin::{Corpus, hostile};

/// The longest input that `make fuzz` lets the targets see; a longer seed would be cut.
const MAX_SEED_BYTES: usize = 32 * 1024;

const FUZZ_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

type Named = (String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let images = images()?;
    write("header_probe", images.iter().cloned())?;
    let jpegs = images
        .iter()
        .filter(|(_, bytes)| bytes.starts_with(b"\xff\xd8"))
        .cloned();
    write("jpeg_skim", jpegs)?;
    write("measure", images.iter().cloned())?;
    write("list_reader", lists()?)?;
    write("target_url", urls())?;
    Ok(())
}

fn write(target: &str, seeds: impl IntoIterator<Item = Named>) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(FUZZ_FOLDER).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    let mut written = 0;
    for (name, bytes) in seeds {
        if bytes.len() <= MAX_SEED_BYTES {
            std::fs::write(folder.join(format!("seed-{name}")), bytes)?;
            written += 1;
        }
    }
    eprintln!("{target}: {written} seeds");
    Ok(())
}

/// Small pictures of every format and coding, the checked-in files, the hostile ones.
fn images() -> Result<Vec<Named>, Box<dyn Error>> {
    let mut images = Vec::new();
    let corpora = [
        ("fixture", Corpus::fixtures()),
        ("variant", Corpus::variants(7, 64, 48)),
        ("larger-variant", Corpus::variants(8, 300, 260)),
        ("generated", Corpus::generate(11, 60)),
    ];
    for (kind, corpus) in corpora {
        for sample in corpus.images {
            images.push((format!("{kind}-{}", sample.name), sample.bytes.to_vec()));
        }
    }
    let pngs = images
        .iter()
        .filter(|(_, bytes)| bytes.starts_with(b"\x89PNG"));
    if let Some((name, still)) = pngs.min_by_key(|(_, bytes)| bytes.len()) {
        images.push((format!("animated-{name}"), animated(still)));
    }
    images.push(("sequence.avif".to_owned(), sequence()));
    for (name, bytes) in hostile::all() {
        images.push((format!("hostile-{name}"), bytes.to_vec()));
    }
    for entry in std::fs::read_dir(Path::new(FUZZ_FOLDER).join("../shared/jpeg-skim/fixtures"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            images.push((format!("skim-{name}"), std::fs::read(&path)?));
        }
    }
    Ok(images)
}

/// A PNG with the chunks of an animation of two frames behind its header; the second frame is missing.
fn animated(still: &[u8]) -> Vec<u8> {
    /// Signature and header.
    const BEHIND_HEADER: usize = 33;
    let (header, rest) = still.split_at(BEHIND_HEADER);
    let sides = &header[16..24];
    let control = [2_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    let frame = [&[0; 4], sides, &[0; 8], &[0, 1, 0, 10, 0, 0]].concat();
    [
        header,
        &chunk(*b"acTL", &control),
        &chunk(*b"fcTL", &frame),
        rest,
    ]
    .concat()
}

fn chunk(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(&kind);
    checksum.update(content);
    let length = content.len() as u32;
    [
        &length.to_be_bytes(),
        &kind[..],
        content,
        &checksum.sum().to_be_bytes(),
    ]
    .concat()
}

/// The boxes of an AVIF sequence of seven frames of 64 × 48 pixels, without any of them.
fn sequence() -> Vec<u8> {
    let sizes = boxed(*b"stsz", &[&[0; 8][..], &7_u32.to_be_bytes()].concat());
    let media = boxed(*b"minf", &boxed(*b"stbl", &sizes));
    let handler = boxed(*b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0");
    let sides = [&[0; 76][..], &[0, 64, 0, 0, 0, 48, 0, 0]].concat();
    let track = [
        boxed(*b"tkhd", &sides),
        boxed(*b"mdia", &[handler, media].concat()),
    ]
    .concat();
    let brands = boxed(*b"ftyp", b"avis\0\0\0\0avisavifmif1");
    [
        brands,
        boxed(*b"moov", &boxed(*b"trak", &track)),
        boxed(*b"mdat", &[0; 40]),
    ]
    .concat()
}

fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32 + 8;
    [&length.to_be_bytes(), &kind[..], content].concat()
}

/// Lists of every format and encoding, told nothing about them, and a compressed one of each kind.
fn lists() -> Result<Vec<Named>, Box<dyn Error>> {
    let table = "id;url;note\r\n1;http://a.example/1.jpg;\"two\r\nlines; and \"\"quotes\"\"\"\r\n2;http://a.example/2.jpg;\r\n";
    let plain: [(&str, &[u8]); 12] = [
        ("csv", b"url,note\nhttp://a.example/1,x\nhttp://a.example/2,\"a,b\"\n"),
        ("semicolons", table.as_bytes()),
        ("tsv", b"sku\timage_link\n7\thttp://a.example/7.png\n8\t\n"),
        ("ndjson", b"{\"url\":\"http://a.example/1\",\"tags\":[1,{\"a\":null}]}\n{\"url\":null}\n\"http://a.example/2\"\n"),
        ("text", b"http://a.example/1\n\nhttps://b.example/2?a=1,2\nnot a url\n"),
        ("carriage-returns", b"url\rhttp://a.example/1\rhttp://a.example/2\r"),
        ("byte-order-mark", b"\xef\xbb\xbfurl,a\r\nhttp://a.example/1,\xc3\xa4\r\n"),
        ("no-header", b"1,http://a.example/1,x\n2,http://a.example/2,y\n"),
        ("open-quote", b"url,a\nhttp://a.example/1,\"never closed\nhttp://a.example/2,x\n"),
        ("not-utf-8", b"url,a\nhttp://a.example/1,\xff\xfe\nhttp://a.example/\xc3,x\n"),
        ("nul", b"url,a\nhttp://a.example/\0,x\n"),
        ("json-document", b"[{\"url\": \"http://a.example/1\"},\n {\"url\": \"http://a.example/2\"}]\n"),
    ];
    let mut lists: Vec<(String, Vec<u8>)> = plain
        .iter()
        .map(|(name, list)| ((*name).to_owned(), list.to_vec()))
        .collect();
    lists.push(("utf-16-le".to_owned(), utf16(table, u16::to_le_bytes)));
    lists.push(("utf-16-be".to_owned(), utf16(table, u16::to_be_bytes)));
    let rows = format!("url,a\n{}", "http://a.example/1,x\n".repeat(100));
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(rows.as_bytes())?;
    lists.push(("gzip".to_owned(), encoder.finish()?));
    lists.push(("zstd".to_owned(), zstd::encode_all(rows.as_bytes(), 3)?));
    lists.push((
        "long-row".to_owned(),
        format!("url,a\nhttp://a.example/1,{}\n", "x".repeat(600)).into_bytes(),
    ));
    let mut seeds = Vec::new();
    for (name, list) in lists {
        for (limits, limits_name) in [(0, "small"), (1, "default")] {
            // Format, name and column left open, then the limits, then seven bytes a read: see `imgsweep_fuzz::list_input`.
            let choices = [0, 0, 0, limits, 6];
            seeds.push((
                format!("{name}-{limits_name}"),
                [&choices, list.as_slice()].concat(),
            ));
        }
    }
    Ok(seeds)
}

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let marked = std::iter::once(0xfeff).chain(text.encode_utf16());
    marked.flat_map(bytes_of).collect()
}

fn urls() -> Vec<Named> {
    let urls = [
        "http://example.com/a.jpg",
        "https://EXAMPLE.com:443/a/../b%20c?x=1&y=%zz#f\n../d.jpg",
        "http://[::ffff:127.0.0.1]:8080/\n//other.example/x",
        "http://0x7f.1/\nhttps://user@b.example/",
        "https://münchen.example/ä?ö\n?q",
        "http://user:secret@example.com/",
        "http://①②⑦.⓪.⓪.①/",
        "http:\\\\example.com\\a\n\\\\c.example\\d",
        "http://xn--mnchen-3ya.example/%00\n#only",
        " \thttps://example.com?a@b ",
        "ftp://example.com/\n",
        "http://example.com:99999/",
    ];
    urls.iter()
        .enumerate()
        .map(|(index, url)| (index.to_string(), url.as_bytes().to_vec()))
        .collect()
}
