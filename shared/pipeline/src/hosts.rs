//! Which host a URL names, as far as sorting and grouping need it.

use std::collections::HashMap;

use domain::ChunkRow;

/// The host and port a URL names, as it writes them.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.find("://").map_or(url, |scheme| &url[scheme + 3..]);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    &rest[..end]
}

/// Rows in turn from every host, so that a run of one host's rows does not keep the others waiting.
pub(crate) fn interleaved(rows: Vec<ChunkRow>) -> Vec<ChunkRow> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut ranked: Vec<(u32, ChunkRow)> = Vec::with_capacity(rows.len());
    for row in rows {
        let host = host_of(&row.url);
        let rank = match seen.get_mut(host) {
            Some(rank) => rank,
            None => seen.entry(host.to_owned()).or_default(),
        };
        ranked.push((*rank, row));
        *rank += 1;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_ends_where_the_path_starts() {
        assert_eq!(host_of("https://example.com/a.jpg"), "example.com");
        assert_eq!(host_of("http://example.com:8080?x"), "example.com:8080");
        assert_eq!(host_of("http://example.com"), "example.com");
    }

    #[test]
    fn hosts_take_turns() {
        let row = |row: u64, url: &str| ChunkRow {
            row,
            url: url.to_owned(),
            extra: serde_json::Map::new(),
            verdict: None,
            earlier: None,
        };
        let rows = vec![
            row(0, "http://a/0"),
            row(1, "http://a/1"),
            row(2, "http://a/2"),
            row(3, "http://b/3"),
            row(4, "http://b/4"),
            row(5, "http://c/5"),
        ];
        let order: Vec<u64> = interleaved(rows).iter().map(|row| row.row).collect();
        assert_eq!(order, [0, 3, 5, 1, 4, 2]);
    }
}
