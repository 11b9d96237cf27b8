//! Tells pages that ask whether we are human from other pages.
//!
//! The marks are those that the filters themselves put into their pages for their own scripts, or document for site owners; words
//! a person would read are translated and changed too often.

use http::{HeaderMap, StatusCode};
use memchr::memmem;

use crate::page::{LOOKED_AT, is_html};

/// Header fields that name a challenge outright: field, value, filter.
const FIELDS: &[(&str, &str, &str)] = &[
    ("cf-mitigated", "challenge", "Cloudflare"),
    ("x-amzn-waf-action", "challenge", "AWS WAF"),
    ("x-amzn-waf-action", "captcha", "AWS WAF"),
    ("x-vercel-mitigated", "challenge", "Vercel"),
];

/// Marks of challenge pages, whatever their status: bytes, filter.
const MARKS: &[(&str, &str)] = &[
    ("/cdn-cgi/challenge-platform/", "Cloudflare"),
    ("_cf_chl_opt", "Cloudflare"),
    ("cf-browser-verification", "Cloudflare"),
    ("_Incapsula_Resource", "Imperva"),
    ("captcha-delivery.com", "DataDome"),
    ("px-captcha", "HUMAN"),
    ("awsWafCookieDomainList", "AWS WAF"),
    ("sucuri_cloudproxy_js", "Sucuri"),
    ("/.within.website/x/cmd/anubis/", "Anubis"),
    ("/.well-known/ddos-guard/", "DDoS-Guard"),
    ("KPSDK", "Kasada"),
];

/// Marks of widgets that also stand in ordinary forms: they mean a challenge only where access was refused.
const WIDGETS: &[(&str, &str)] = &[
    ("www.google.com/recaptcha/", "reCAPTCHA"),
    ("hcaptcha.com/1/api.js", "hCaptcha"),
    ("challenges.cloudflare.com/turnstile/", "Cloudflare"),
];

/// Whether a challenge may come with this status.
pub(crate) fn may_be_challenge(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 202 | 403 | 405 | 429 | 503)
}

/// The filter that answered, if a header field says so.
pub(crate) fn by_header(headers: &HeaderMap) -> Option<&'static str> {
    for (field, value, filter) in FIELDS {
        if headers
            .get(*field)
            .is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        {
            return Some(filter);
        }
    }
    None
}

/// The filter that wrote the page which starts with `start`, if one did. Anything but HTML is none.
pub(crate) fn by_content(
    status: StatusCode,
    declared_type: Option<&str>,
    start: &[u8],
) -> Option<&'static str> {
    if !may_be_challenge(status) || !is_html(declared_type, start) {
        return None;
    }
    let start = &start[..start.len().min(LOOKED_AT)];
    let widgets = if status == StatusCode::OK {
        &[]
    } else {
        WIDGETS
    };
    for (mark, filter) in MARKS.iter().chain(widgets) {
        if memmem::find(start, mark.as_bytes()).is_some() {
            return Some(filter);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: Option<&str> = Some("text/html; charset=utf-8");

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn a_filter_that_names_itself_in_a_header_field_is_recognised() {
        let mut headers = HeaderMap::new();
        assert_eq!(by_header(&headers), None);
        headers.insert("x-amzn-waf-action", "Captcha".parse().unwrap());
        assert_eq!(by_header(&headers), Some("AWS WAF"));
        headers.insert("x-amzn-waf-action", "allow".parse().unwrap());
        assert_eq!(by_header(&headers), None);
        headers.insert("cf-mitigated", "challenge".parse().unwrap());
        assert_eq!(by_header(&headers), Some("Cloudflare"));
    }

    #[test]
    fn a_challenge_page_is_recognised_with_every_status_it_comes_with() {
        let page = b"\xEF\xBB\xBF \n<!DOCTYPE html><html><script>window._cf_chl_opt={}</script>";
        for code in [200, 202, 403, 405, 429, 503] {
            assert_eq!(
                by_content(status(code), None, page),
                Some("Cloudflare"),
                "{code}"
            );
        }
        assert_eq!(by_content(status(404), None, page), None);
    }

    #[test]
    fn a_captcha_in_an_ordinary_page_is_no_challenge() {
        let page =
            b"<html><form><script src=\"https://www.google.com/recaptcha/api.js\"></script></form>";
        assert_eq!(by_content(status(200), HTML, page), None);
        assert_eq!(by_content(status(429), HTML, page), Some("reCAPTCHA"));
    }

    #[test]
    fn only_html_is_looked_into_and_only_its_beginning() {
        assert_eq!(
            by_content(status(200), Some("image/png"), b"\x89PNG _cf_chl_opt"),
            None
        );
        assert_eq!(
            by_content(
                status(200),
                Some("image/svg+xml"),
                b"<svg>_cf_chl_opt</svg>"
            ),
            None
        );
        let mut page = b"<html>".to_vec();
        page.resize(LOOKED_AT, b' ');
        page.extend_from_slice(b"_cf_chl_opt");
        assert_eq!(by_content(status(403), HTML, &page), None);
    }
}
