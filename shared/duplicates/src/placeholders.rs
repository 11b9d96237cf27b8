//! Stand-in pictures: the same bytes under many URLs of one host.

use crate::external_sort::{Sorted, Sorter};
use crate::image::Key;
use crate::records::{Mark, Marked, OfHost};
use crate::{DuplicatesError, DuplicatesResult, PlaceholderRule};

/// Marks the rows of placeholders among `rows`, which are sorted by host and content. Returns how many there were.
///
/// How many images a host has is known only at its end, so rows whose share decides wait for it. They are few: a content of fewer
/// than `enough_rows` rows has its share only on a host of fewer than `enough_rows / min_share` images.
pub(crate) fn mark(
    rows: Sorted<OfHost>,
    rule: PlaceholderRule,
    marks: &mut Sorter<Marked>,
) -> DuplicatesResult<u64> {
    let certain = if rule.min_share == 0.0 {
        u64::from(rule.min_rows)
    } else {
        u64::from(rule.enough_rows.max(rule.min_rows))
    };
    let mut marked = 0;
    let mut host = Host::default();
    let mut put = |keys: &[Key]| -> DuplicatesResult<()> {
        for key in keys {
            let mark = Mark::Placeholder;
            let pushed = marks.push(Marked { key: *key, mark });
            pushed.map_err(DuplicatesError::Scratch)?;
        }
        marked += keys.len() as u64;
        Ok(())
    };
    for row in rows {
        let row = row.map_err(DuplicatesError::Scratch)?;
        if host.rows > 0 && (host.name, host.content) != (row.host, row.content) {
            host.end_content(rule);
            if host.name != row.host {
                put(&host.end(rule))?;
            }
        }
        host.name = row.host;
        host.content = row.content;
        host.rows += 1;
        host.of_content += 1;
        host.keys.push(row.key);
        if host.of_content >= certain {
            put(&host.keys)?;
            host.keys.clear();
        }
    }
    host.end_content(rule);
    put(&host.end(rule))?;
    Ok(marked)
}

/// The host whose rows are being read.
#[derive(Default)]
struct Host {
    name: u64,
    content: [u8; 16],
    /// Its rows so far.
    rows: u64,
    /// Rows of the content being read.
    of_content: u64,
    /// Rows of the content being read that are not decided on.
    keys: Vec<Key>,
    /// Rows of contents that are placeholders if their share is large enough, with the number of rows of their content.
    waiting: Vec<(u64, Vec<Key>)>,
}

impl Host {
    fn end_content(&mut self, rule: PlaceholderRule) {
        let keys = std::mem::take(&mut self.keys);
        let rows = std::mem::take(&mut self.of_content);
        if !keys.is_empty() && rule.applies(rows, rows) {
            self.waiting.push((rows, keys));
        }
        // The host only grows: what has too small a share now will not have it later.
        let so_far = self.rows;
        if self.waiting.len() >= 64 {
            self.waiting.retain(|(rows, _)| rule.applies(*rows, so_far));
        }
    }

    /// The rows that turned out to be placeholders; then empty for the next host.
    fn end(&mut self, rule: PlaceholderRule) -> Vec<Key> {
        let ended = std::mem::take(self);
        let mut keys = Vec::new();
        for (rows, waiting) in ended.waiting {
            if rule.applies(rows, ended.rows) {
                keys.extend(waiting);
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Placeholders among hosts, each given as the numbers of rows of its contents.
    fn placeholders(hosts: &[&[u64]]) -> Vec<u64> {
        let scratch = tempfile::tempdir().unwrap();
        let mut rows = Sorter::new(scratch.path(), 1 << 16);
        let mut key = 0;
        for (host, contents) in hosts.iter().enumerate() {
            for (content, count) in contents.iter().enumerate() {
                for _ in 0..*count {
                    let of_host = OfHost {
                        host: host as u64,
                        content: (content as u128).to_be_bytes(),
                        key: Key(key),
                    };
                    rows.push(of_host).unwrap();
                    key += 1;
                }
            }
        }
        let mut marks = Sorter::new(scratch.path(), 1 << 16);
        let rule = PlaceholderRule::default();
        let count = mark(rows.finish().unwrap(), rule, &mut marks).unwrap();
        let keys: Vec<u64> = marks
            .finish()
            .unwrap()
            .map(|marked| marked.unwrap().key.0)
            .collect();
        assert_eq!(count, keys.len() as u64);
        keys
    }

    #[test]
    fn five_of_a_small_host_are_a_placeholder_and_four_are_not() {
        assert_eq!(placeholders(&[&[1, 5, 1]]), [1, 2, 3, 4, 5]);
        assert_eq!(placeholders(&[&[1, 4, 1]]), Vec::<u64>::new());
    }

    #[test]
    fn the_same_content_on_many_hosts_is_none() {
        assert_eq!(placeholders(&[&[2], &[2], &[2], &[2]]), Vec::<u64>::new());
    }

    #[test]
    fn a_small_share_of_a_large_host_is_none_unless_there_are_many() {
        let mut contents = vec![5; 60];
        contents.push(100);
        // 400 rows: five are 1.25 %, a hundred are 25 %.
        let expected: Vec<u64> = (300..400).collect();
        assert_eq!(placeholders(&[&contents]), expected);
        let mut large = vec![1; 20_000];
        large.insert(0, 100);
        large.insert(1, 99);
        let expected: Vec<u64> = (0..100).collect();
        assert_eq!(placeholders(&[&large]), expected);
    }

    #[test]
    fn the_share_is_that_of_the_whole_host() {
        // Two per cent of 250, seen before the rest of the host is.
        let mut contents = vec![5];
        contents.resize(246, 1);
        assert_eq!(placeholders(&[&contents]), [0, 1, 2, 3, 4]);
        contents.push(1);
        assert_eq!(placeholders(&[&contents]), Vec::<u64>::new());
    }
}
