//! Any text as a URL: refused, or http or https without user info, in a normal form that parses to itself. The first line is the
//! URL, what follows the target of a redirect.

#![no_main]

use domain::Limits;
use fetching::TargetUrl;
use imgsweep_fuzz as _;
use libfuzzer_sys::fuzz_target;

/// Short, so that inputs get to it.
const MAX_URL_BYTES: usize = 500;

fuzz_target!(|input: &str| {
    let limits = Limits {
        max_url_bytes: MAX_URL_BYTES,
        ..Limits::default()
    };
    let (text, location) = input.split_once('\n').unwrap_or((input, ""));
    let Ok(url) = TargetUrl::parse(text, &limits) else {
        return;
    };
    check(&url, &limits);
    if let Ok(redirected) = url.join(location, &limits) {
        check(&redirected, &limits);
    }
});

fn check(url: &TargetUrl, limits: &Limits) {
    let canonical = url.canonical();
    assert!(canonical.len() <= limits.max_url_bytes, "{canonical}");
    assert!(
        canonical.bytes().all(|byte| byte.is_ascii_graphic()),
        "{canonical:?}"
    );
    let after_scheme = canonical
        .strip_prefix("http://")
        .or_else(|| canonical.strip_prefix("https://"));
    let after_scheme =
        after_scheme.unwrap_or_else(|| panic!("neither http nor https: {canonical}"));
    let authority = after_scheme.split('/').next().unwrap_or_default();
    assert!(!authority.contains('@'), "user info: {canonical}");
    assert!(
        !url.host_str().is_empty() && authority.starts_with(url.host_str()),
        "no host: {canonical}"
    );
    assert!(!canonical.contains('#'), "a fragment: {canonical}");

    let again = TargetUrl::parse(canonical, limits);
    assert_eq!(
        again.as_ref(),
        Ok(url),
        "another URL once parsed again: {canonical}"
    );
    assert_eq!(again.as_ref().map(TargetUrl::canonical), Ok(canonical));

    let redacted = url.redacted().to_string();
    let (path, query) = redacted.split_once('?').unwrap_or((&redacted, "…"));
    assert!(
        canonical.starts_with(path) && query == "…",
        "{redacted} of {canonical}"
    );
}
