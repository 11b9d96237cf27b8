//! What an earlier batch found out about the same URLs, for a batch that is compared with it.
//!
//! The earlier results are read once, object by object, when the list is split. They go to an unlinked scratch file, and where each
//! lies is remembered as [`RepeatedUrls`] remembers rows: memory is bounded the same way, and a look-up reads local files only. What
//! is found travels with the row in its chunk, so that the analyser asks nobody.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use domain::{Batch, BatchId, Earlier, Limits, MeasureMode, Outcome, ResultRow};
use fetching::TargetUrl;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::parts::read_parts;
use crate::repeated_urls::RepeatedUrls;
use crate::results::{by_chunk, result_keys};
use crate::split::SplitSettings;
use crate::{PipelineError, PipelineResult, Ports};

/// Bytes read for a row at first: most rows are shorter.
const READ_AHEAD: usize = 1_536;
/// Length of a row, in front of it.
const LENGTH_BYTES: usize = 4;

/// What a process has gathered for the batch it split last: as a rule the next continuation of a split comes to the same one.
#[derive(Clone, Default)]
pub struct KeptComparison(Arc<Mutex<Option<Kept>>>);

/// Whose comparison it is, and with what.
type Kept = (BatchId, Arc<EarlierRows>);

impl fmt::Debug for KeptComparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeptComparison(…)")
    }
}

impl KeptComparison {
    /// What is kept for `batch`. What is kept for another one goes, and leaves its room on the disk.
    fn of(&self, batch: BatchId) -> Option<Arc<EarlierRows>> {
        let mut kept = self.0.lock();
        if kept.as_ref().is_some_and(|(whose, _)| *whose != batch) {
            *kept = None;
        }
        kept.as_ref().map(|(_, rows)| Arc::clone(rows))
    }

    fn keep(&self, batch: BatchId, rows: &Arc<EarlierRows>) {
        *self.0.lock() = Some((batch, Arc::clone(rows)));
    }

    /// Nobody goes on with it.
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}

/// What there is to compare with.
pub(crate) enum Comparison {
    /// Nobody asked for one.
    None,
    /// The rows of the earlier batch.
    With(Arc<EarlierRows>),
    /// There is no such batch any more, or it is not the same owner's.
    Gone,
}

/// Rows of an earlier batch, by URL.
pub(crate) struct EarlierRows {
    places: RepeatedUrls,
    rows: File,
}

/// The same, while it is filled.
struct Gathering {
    places: RepeatedUrls,
    rows: BufWriter<File>,
    length: u64,
    /// Whether hosts may be asked if an image has changed, or each has to be fetched.
    may_ask: bool,
}

/// Reads what the batch that `batch` is compared with has found out, unless this process has done so before.
pub(crate) async fn gather(
    ports: &Ports,
    batch: &Batch,
    settings: &SplitSettings,
    hash_key: (u64, u64),
) -> PipelineResult<Comparison> {
    let SplitSettings {
        limits,
        scratch,
        kept,
        ..
    } = settings;
    let kept_rows = kept.of(batch.id);
    let Some(since) = batch.options.since else {
        return Ok(Comparison::None);
    };
    if let Some(rows) = kept_rows {
        return Ok(Comparison::With(rows));
    }
    let earlier = ports.store.batch(since).await?;
    let keys = result_keys(ports, since).await?;
    let is_theirs = earlier
        .as_ref()
        .is_some_and(|earlier| earlier.owner != batch.owner || earlier.deleting);
    if is_theirs || (earlier.is_none() && keys.is_empty()) {
        return Ok(Comparison::Gone);
    }
    let was_full = earlier.is_some_and(|earlier| earlier.options.measure == MeasureMode::Full);
    let is_full = batch.options.measure == MeasureMode::Full;
    let file = tempfile::tempfile_in(scratch).map_err(PipelineError::Scratch)?;
    let mut gathering = Gathering {
        places: RepeatedUrls::new(scratch, hash_key),
        rows: BufWriter::new(file),
        length: 0,
        // A row that is carried over must say as much as one that is measured now; and a model has to be shown the image.
        may_ask: (was_full || !is_full) && batch.options.vision.is_none(),
    };
    for keys in by_chunk(&keys) {
        let parts = read_parts(ports, keys).await?;
        let limits = limits.clone();
        let adding = tokio::task::spawn_blocking(move || {
            for part in parts {
                for row in part.current_rows::<ResultRow>()? {
                    gathering
                        .add(row, &limits)
                        .map_err(PipelineError::Scratch)?;
                }
            }
            Ok::<_, PipelineError>(gathering)
        });
        gathering = adding.await.map_err(PipelineError::Panicked)??;
    }
    let rows = gathering.rows.into_inner();
    let rows = rows.map_err(|error| PipelineError::Scratch(error.into_error()))?;
    tracing::info!(batch = %batch.id, %since, earlier.bytes = gathering.length, "earlier rows gathered");
    let rows = Arc::new(EarlierRows {
        places: gathering.places,
        rows,
    });
    kept.keep(batch.id, &rows);
    Ok(Comparison::With(rows))
}

impl Gathering {
    /// Keeps what is worth comparing with. Rows that end without being fetched, or were given up, say nothing about their URL.
    fn add(&mut self, mut row: ResultRow, limits: &Limits) -> io::Result<()> {
        let is_told = !matches!(
            row.outcome,
            Outcome::InvalidUrl | Outcome::DuplicateUrl | Outcome::Cancelled | Outcome::Poisoned
        );
        let Ok(url) = TargetUrl::parse(&row.url, limits) else {
            return Ok(());
        };
        if !is_told
            || self
                .places
                .first_row(url.canonical(), self.length)?
                .is_some()
        {
            return Ok(());
        }
        row.url = String::new();
        row.extra = Map::new();
        row.detail = None;
        row.vision = None;
        row.change = None;
        if !self.may_ask {
            row.etag = None;
            row.last_modified = None;
        }
        let text = without_nulls(&row)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.rows.write_all(&length.to_le_bytes())?;
        self.rows.write_all(&text)?;
        self.length += (LENGTH_BYTES + text.len()) as u64;
        Ok(())
    }
}

impl EarlierRows {
    /// What is known of `url`, in its canonical form.
    pub(crate) fn find(&self, url: &str) -> io::Result<Earlier> {
        let Some(place) = self.places.find(url)? else {
            return Ok(Earlier::New);
        };
        let mut text = vec![0; READ_AHEAD];
        let read = read_up_to(&self.rows, &mut text, place)?;
        text.truncate(read);
        let Some((length, _)) = text.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
        let read = text.len();
        text.resize(end, 0);
        if read < end {
            self.rows
                .read_exact_at(&mut text[read..], place + read as u64)?;
        }
        let row: ResultRow = serde_json::from_slice(&text[LENGTH_BYTES..])?;
        Ok(Earlier::Known(Box::new(row)))
    }
}

fn read_up_to(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], place + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// JSON of a row without its absent fields, which are most of it where nothing loaded.
fn without_nulls(row: &ResultRow) -> io::Result<Vec<u8>> {
    let mut fields = serde_json::to_value(row)?;
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    Ok(serde_json::to_vec(&fields)?)
}

/// Copies the results of a batch that lies in another object store to where [`gather`] finds them. One that is there already stays.
pub async fn bring(from: &Ports, to: &Ports, batch: BatchId) -> PipelineResult<()> {
    for key in result_keys(from, batch).await? {
        if crate::objects::get(to, &key).await?.is_none()
            && let Some(body) = crate::objects::get(from, &key).await?
        {
            crate::objects::put(to, key, body).await?;
        }
    }
    Ok(())
}

/// Removes what [`bring`] has copied.
pub async fn discard(to: &Ports, batch: BatchId) -> PipelineResult<()> {
    crate::delete::remove_below(to, &domain::keys::results(batch)).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use domain::ChunkRow;

    fn row(number: u64, url: &str, outcome: Outcome) -> ResultRow {
        let row = ChunkRow {
            row: number,
            url: url.to_owned(),
            extra: Map::from_iter([("sku".to_owned(), Value::from("x".repeat(3_000)))]),
            verdict: None,
            earlier: None,
        };
        let batch = "00000000000000000000000000".parse().unwrap();
        ResultRow::new(batch, &row, outcome)
    }

    fn gathering(scratch: &Path, may_ask: bool) -> Gathering {
        Gathering {
            places: RepeatedUrls::new(scratch, (1, 2)),
            rows: BufWriter::new(tempfile::tempfile_in(scratch).unwrap()),
            length: 0,
            may_ask,
        }
    }

    fn finish(gathering: Gathering) -> EarlierRows {
        EarlierRows {
            rows: gathering.rows.into_inner().unwrap(),
            places: gathering.places,
        }
    }

    #[test]
    fn rows_are_found_by_their_url_however_long_they_are() {
        let scratch = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let mut filled = gathering(scratch.path(), true);
        let mut long = row(0, "http://a.example/0", Outcome::Ok);
        long.thumbhash = Some("t".repeat(READ_AHEAD * 3));
        long.etag = Some("\"1\"".to_owned());
        filled.add(long.clone(), &limits).unwrap();
        for number in 1..100 {
            let url = format!("http://a.example/{number}");
            let row = row(number, &url, Outcome::NotFound);
            filled.add(row, &limits).unwrap();
        }
        let rows = finish(filled);
        let Earlier::Known(found) = rows.find("http://a.example/0").unwrap() else {
            panic!("the row is new");
        };
        assert_eq!((found.thumbhash, found.etag), (long.thumbhash, long.etag));
        assert!(found.extra.is_empty());
        for number in 1..100 {
            let Earlier::Known(found) = rows.find(&format!("http://a.example/{number}")).unwrap()
            else {
                panic!("row {number} is new");
            };
            assert_eq!((found.row, found.outcome), (number, Outcome::NotFound));
        }
        assert_eq!(rows.find("http://a.example/100").unwrap(), Earlier::New);
    }

    #[test]
    fn what_says_nothing_about_a_url_is_not_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let mut filled = gathering(scratch.path(), false);
        for (url, outcome) in [
            ("http://a.example/1", Outcome::DuplicateUrl),
            ("http://a.example/2", Outcome::Cancelled),
            ("no url", Outcome::InvalidUrl),
        ] {
            filled.add(row(0, url, outcome), &limits).unwrap();
        }
        let mut validated = row(7, "http://a.example/3", Outcome::Ok);
        validated.last_modified = Some("Tue, 24 Nov 2026 12:00:00 GMT".to_owned());
        filled.add(validated, &limits).unwrap();
        let rows = finish(filled);
        for number in 1..=2 {
            let url = format!("http://a.example/{number}");
            assert_eq!(rows.find(&url).unwrap(), Earlier::New);
        }
        let Earlier::Known(found) = rows.find("http://a.example/3").unwrap() else {
            panic!("the row is new");
        };
        assert_eq!(found.last_modified, None, "hosts may not be asked");
    }
}
