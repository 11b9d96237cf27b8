//! Cursors: opaque to clients, checked when they come back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{BatchId, keys};
use pipeline::results::Cursor;

use crate::Problem;

fn invalid() -> Problem {
    Problem::no_such_cursor()
}

fn decode(text: &str) -> Result<String, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=512).contains(&text.len()) || !text.bytes().all(is_plain) {
        let detail = "`cursor` is what `next_cursor` of the page before said.";
        return Err(Problem::bad_request(detail));
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

/// The cursor of a page of results: the object's key without what every object of the batch shares, and a position.
pub(crate) fn encode_results(batch: BatchId, cursor: &Cursor) -> String {
    let prefix = keys::results(batch);
    let object = cursor
        .object
        .strip_prefix(&prefix)
        .unwrap_or(&cursor.object);
    URL_SAFE_NO_PAD.encode(format!("{}:{object}", cursor.rows))
}

/// The cursor that [`encode_results`] gave out for this batch.
pub(crate) fn decode_results(batch: BatchId, text: &str) -> Result<Cursor, Problem> {
    let text = decode(text)?;
    let (rows, object) = text.split_once(':').ok_or_else(invalid)?;
    Ok(Cursor {
        object: format!("{}{object}", keys::results(batch)),
        rows: rows.parse().map_err(|_| invalid())?,
    })
}

/// The cursor of a page of batches: the last one's id.
pub(crate) fn encode_batch(id: BatchId) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

/// The cursor that [`encode_batch`] gave out.
pub(crate) fn decode_batch(text: &str) -> Result<BatchId, Problem> {
    decode(text)?.parse().map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out() {
        let batch: BatchId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let cursor = Cursor {
            object: format!("{}/00000003.0001.ndjson.zst", keys::results(batch)),
            rows: 42,
        };
        let text = encode_results(batch, &cursor);
        assert_eq!(decode_results(batch, &text).unwrap(), cursor);
        assert!(decode_results(batch, "nonsense!").is_err());
        assert_eq!(decode_batch(&encode_batch(batch)).unwrap(), batch);
    }
}
