//! What pages have in common that stand in place of an image.

/// How much of a page is looked at.
pub(crate) const LOOKED_AT: usize = 16 * 1024;

/// Whether what begins with `start` is HTML, by its first tag, or by its declared type if it begins with any tag at all.
pub(crate) fn is_html(declared_type: Option<&str>, start: &[u8]) -> bool {
    let start = start
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(start)
        .trim_ascii_start();
    if !start.starts_with(b"<") {
        return false;
    }
    let is_declared =
        declared_type.is_some_and(|declared| declared.to_ascii_lowercase().contains("html"));
    let begins_with =
        |tag: &[u8]| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag);
    is_declared || begins_with(b"<!doctype html") || begins_with(b"<html") || begins_with(b"<head")
}
