//! A list of URLs as a customer would send it: mostly good, with everything that goes wrong in between.

use fastrand::Rng;

use crate::corpus::{Corpus, Sample};
use crate::hostile;

/// Percentage of rows that are meant to fail.
const FAULTY_PERCENT: usize = 15;

/// Bytes a second of the trickled image, and the bytes that take four seconds: patient clients must not wait for ever.
const DRIP_RATE: usize = 3000;
const DRIP_BYTES: usize = 4 * DRIP_RATE;

const ADJECTIVES: [&str; 6] = [
    "Weatherproof",
    "Folding",
    "Oak",
    "Compact",
    "\"Alpine\"",
    "Hand-made",
];
const NOUNS: [&str; 6] = [
    "chair",
    "table, round",
    "lantern",
    "bench",
    "planter",
    "parasol",
];

/// Paths of this host that fail, the commonest kinds first: a short list then still shows many outcomes.
const COMMON_FAULTS: [&str; 8] = [
    "/status/404",
    "/html",
    "/bot-wall",
    "/status/403",
    "/status/500",
    "/redirect-loop",
    "/huge-declared",
    "/svg",
];
const OTHER_FAULTS: [&str; 22] = [
    "/status/418",
    "/garbage",
    "/headers/500",
    "/status/429?retry_after=1",
    "/empty",
    "/text-as-image",
    "/soft404",
    "/close",
    "/reset",
    "/bad-header",
    "/huge",
    "/header-bytes/300000",
    "/status/410",
    "/status/451",
    "/status/401",
    "/status/400",
    "/status/502",
    "/status/503?retry_after=1",
    "/status/204",
    "/redirect-to?url=http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2F",
    "/redirect-to?url=file%3A%2F%2F%2Fetc%2Fpasswd",
    "/redirect-to?url=http%3A%2F%2F",
];
/// Cells that are no URL to fetch. `.invalid` never resolves (RFC 6761), port 1 has no listener.
const BAD_ADDRESSES: [&str; 14] = [
    "not a url",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/",
    "http://no-such-host.invalid/image.jpg",
    "http://10.0.0.1/x.jpg",
    "file:///etc/passwd",
    "http://",
    "htp://example.com/a.jpg",
    "http://[::1",
    "http://exa mple.com/a, b.jpg",
    "//cdn.example.com/a.jpg",
    "http://user:secret@127.0.0.1/a.jpg",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "javascript:alert(1)",
];

/// Writes `count` rows over the host at `base` in a shuffled order.
pub(super) fn write(base: &str, corpus: &Corpus, count: usize, seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let faulty = count * FAULTY_PERCENT / 100;
    let mut urls = good_urls(base, corpus, count - faulty, &mut rng);
    let faults = faulty_urls(base, corpus);
    for number in 0..faulty {
        let (round, kind) = (number / faults.len(), number % faults.len());
        urls.push(distinct(&faults[kind], round));
    }
    rng.shuffle(&mut urls);

    let mut list = String::from("sku,image_url,title\n");
    for (number, url) in urls.iter().enumerate() {
        let title = format!(
            "{} {}",
            ADJECTIVES[rng.usize(..ADJECTIVES.len())],
            NOUNS[rng.usize(..NOUNS.len())]
        );
        let cells = [format!("SKU-{:06}", number + 1), field(url), field(&title)];
        list.push_str(&cells.join(","));
        list.push('\n');
    }
    list
}

/// Rows that end well: images, some of them repeated, moved, mislabelled or available on the second try.
fn good_urls(base: &str, corpus: &Corpus, count: usize, rng: &mut Rng) -> Vec<String> {
    let mut urls: Vec<String> = Vec::with_capacity(count);
    let mut next = 0;
    for row in 0..count {
        let Some(image) = corpus.images.get(next % corpus.images.len().max(1)) else {
            urls.push(format!("{base}/image/missing-{row}"));
            continue;
        };
        let round = next / corpus.images.len();
        let name = &image.name;
        let url = match row % 50 {
            9 | 34 => urls[rng.usize(..urls.len())].clone(),
            14 | 39 => format!(
                "{base}/image/{}?copy={row}",
                corpus.images[rng.usize(..corpus.images.len())].name
            ),
            19 => format!("{base}/redirect/2/{name}?row={row}"),
            24 => format!("{base}/lying/{name}?row={row}"),
            29 => format!("{base}/flaky/1/{row}"),
            _ => {
                next += 1;
                distinct(&format!("{base}/image/{name}"), round)
            }
        };
        urls.push(url);
    }
    urls
}

fn faulty_urls(base: &str, corpus: &Corpus) -> Vec<String> {
    let on_host = |path: &str| format!("{base}{path}");
    let first_jpeg = corpus.images.iter().find(|image| image.format == "jpeg");
    let name = first_jpeg.map_or("missing", |image| image.name.as_str());
    let (common_addresses, other_addresses) = BAD_ADDRESSES.split_at(4);

    let mut faults: Vec<String> = COMMON_FAULTS.iter().map(|path| on_host(path)).collect();
    faults.push(on_host(&format!("/truncated/{name}")));
    faults.push(on_host("/hostile/gif-claims-65535x32767"));
    faults.push(on_host("/hostile/png-wrong-checksum"));
    faults.extend(common_addresses.iter().map(ToString::to_string));
    faults.push(on_host(&format!("/noai/{name}")));
    faults.push(on_host(&format!("/private/{name}")));
    // The host speaks no TLS.
    faults.push(on_host(&format!("/image/{name}")).replacen("http:", "https:", 1));
    faults.push(on_host(&format!(
        "/drip/{DRIP_RATE}/{}",
        slow_image(corpus).unwrap_or(name)
    )));
    faults.push(on_host(&format!("/slow/2500/{name}")));
    faults.push(on_host(&format!("/gzip/{name}")));
    faults.push(on_host(&format!("/redirect/9/{name}")));
    faults.extend(other_addresses.iter().map(ToString::to_string));
    faults.extend(OTHER_FAULTS.iter().map(|path| on_host(path)));
    for (kind, _) in hostile::all() {
        let url = on_host(&format!("/hostile/{kind}"));
        if !faults.contains(&url) {
            faults.push(url);
        }
    }
    faults
}

/// The smallest JPEG that is long enough for trickling to be noticed.
fn slow_image(corpus: &Corpus) -> Option<&str> {
    let long_enough = |image: &&Sample| image.format == "jpeg" && image.bytes.len() >= DRIP_BYTES;
    let smallest = corpus
        .images
        .iter()
        .filter(long_enough)
        .min_by_key(|image| image.bytes.len());
    smallest.map(|image| image.name.as_str())
}

/// The same address in every round but with another query.
fn distinct(url: &str, round: usize) -> String {
    if round == 0 || !url.starts_with("http") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}round={round}")
}

/// A CSV field, quoted where RFC 4180 asks for it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}
