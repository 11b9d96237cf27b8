//! How a row differs from an earlier batch's row of the same URL.

use domain::{Change, ChunkRow, Earlier, MeasureMode, Outcome, ResultRow};
use fetching::{TargetUrl, Validators};

/// What to ask the host with whether the image has changed; `None` where it has to be fetched in any case: the earlier row has no
/// image, no validator, or not everything that is measured now.
pub(super) fn validators(row: &ChunkRow, url: &TargetUrl, mode: MeasureMode) -> Option<Validators> {
    let earlier = known(row)?;
    let is_measured = match mode {
        MeasureMode::Header => earlier.width.is_some(),
        MeasureMode::Fast | MeasureMode::Full => earlier.sha256.is_some(),
    };
    let has_validator = earlier.etag.is_some() || earlier.last_modified.is_some();
    if earlier.outcome != Outcome::Ok || !is_measured || !has_validator {
        return None;
    }
    let answered = earlier.final_url.as_deref();
    Some(Validators {
        url: answered.unwrap_or(url.canonical()).to_owned(),
        etag: earlier.etag.clone(),
        last_modified: earlier.last_modified.clone(),
    })
}

/// Takes over what was measured when the image was last sent.
pub(super) fn carry_over(row: &ChunkRow, result: &mut ResultRow) {
    let Some(earlier) = known(row).cloned() else {
        return;
    };
    result.bytes = earlier.bytes;
    // RFC 9110, section 15.4.5: an answer without the image may come without these, and they are what they were.
    result.declared_type = earlier.declared_type;
    result.etag = result.etag.take().or(earlier.etag);
    result.last_modified = result.last_modified.take().or(earlier.last_modified);
    result.format = earlier.format;
    result.width = earlier.width;
    result.height = earlier.height;
    result.frames = earlier.frames;
    result.has_alpha = earlier.has_alpha;
    result.orientation = earlier.orientation;
    result.color_space = earlier.color_space;
    result.exif = earlier.exif;
    result.sha256 = earlier.sha256;
    result.phash = earlier.phash;
    result.dhash = earlier.dhash;
    result.thumbhash = earlier.thumbhash;
    result.mean_rgb = earlier.mean_rgb;
    result.palette = earlier.palette;
    result.brightness = earlier.brightness;
    result.contrast = earlier.contrast;
    result.saturation = earlier.saturation;
    result.sharpness = earlier.sharpness;
    result.entropy = earlier.entropy;
    result.issues = earlier.issues;
}

/// Says how a finished row differs, where it is compared.
pub(super) fn change(row: &ChunkRow, result: &ResultRow) -> Option<Change> {
    let earlier = match row.earlier.as_ref()? {
        Earlier::New => return Some(Change::New),
        Earlier::Known(earlier) => earlier,
    };
    let is_same = match (earlier.outcome, result.outcome) {
        (Outcome::Ok, Outcome::Ok) => is_same_image(earlier, result),
        (Outcome::Ok, Outcome::NotFound) => return Some(Change::Gone),
        // It may be there again tomorrow.
        (_, now) if now.is_retryable() => return None,
        (then, now) => then == now,
    };
    Some(if is_same {
        Change::Unchanged
    } else {
        Change::Changed
    })
}

fn is_same_image(then: &ResultRow, now: &ResultRow) -> bool {
    if let (Some(then), Some(now)) = (&then.sha256, &now.sha256) {
        return then == now;
    }
    if let (Some(then), Some(now)) = (&then.etag, &now.etag)
        && then == now
    {
        return true;
    }
    // Header mode reads no whole image: what it looks like from outside is all there is.
    let outside = |row: &ResultRow| (row.bytes, row.format, row.width, row.height);
    outside(then) == outside(now)
}

fn known(row: &ChunkRow) -> Option<&ResultRow> {
    match row.earlier.as_ref()? {
        Earlier::New => None,
        Earlier::Known(earlier) => Some(earlier),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn result(outcome: Outcome) -> ResultRow {
        let row = ChunkRow {
            row: 0,
            url: "http://a.example/".to_owned(),
            extra: Map::new(),
            verdict: None,
            earlier: None,
        };
        let batch = "00000000000000000000000000".parse().unwrap();
        ResultRow::new(batch, &row, outcome)
    }

    fn compared(earlier: Earlier) -> ChunkRow {
        ChunkRow {
            row: 0,
            url: "http://a.example/".to_owned(),
            extra: Map::new(),
            verdict: None,
            earlier: Some(earlier),
        }
    }

    #[test]
    fn rows_say_what_became_of_their_url() {
        use Outcome::{DecodeError, NotFound, Ok, Timeout};
        for (then, now, expected) in [
            (Ok, NotFound, Some(Change::Gone)),
            (NotFound, NotFound, Some(Change::Unchanged)),
            (NotFound, Ok, Some(Change::Changed)),
            (Ok, DecodeError, Some(Change::Changed)),
            (Ok, Timeout, None),
            (NotFound, Timeout, None),
            (Timeout, Ok, Some(Change::Changed)),
        ] {
            let row = compared(Earlier::Known(Box::new(result(then))));
            assert_eq!(change(&row, &result(now)), expected, "{then:?}, {now:?}");
        }
        let row = compared(Earlier::New);
        assert_eq!(change(&row, &result(Timeout)), Some(Change::New));
        let row = ChunkRow {
            earlier: None,
            ..row
        };
        assert_eq!(change(&row, &result(Ok)), None, "nothing to compare with");
    }

    #[test]
    fn the_same_bytes_are_the_same_image_whatever_the_host_says() {
        let mut then = result(Outcome::Ok);
        then.sha256 = Some("a".repeat(64));
        then.etag = Some("\"1\"".to_owned());
        let mut now = then.clone();
        now.etag = Some("\"2\"".to_owned());
        let row = compared(Earlier::Known(Box::new(then)));
        assert_eq!(change(&row, &now), Some(Change::Unchanged));
        now.sha256 = Some("b".repeat(64));
        assert_eq!(change(&row, &now), Some(Change::Changed));
    }

    #[test]
    fn hosts_are_asked_only_for_what_can_be_carried_over() {
        let limits = domain::Limits::default();
        let url = TargetUrl::parse("http://a.example/", &limits).unwrap();
        let mut earlier = result(Outcome::Ok);
        earlier.etag = Some("\"1\"".to_owned());
        earlier.width = Some(640);
        let row = compared(Earlier::Known(Box::new(earlier.clone())));
        assert!(validators(&row, &url, MeasureMode::Header).is_some());
        assert_eq!(validators(&row, &url, MeasureMode::Fast), None);
        earlier.sha256 = Some("a".repeat(64));
        earlier.final_url = Some("http://b.example/".to_owned());
        let row = compared(Earlier::Known(Box::new(earlier)));
        let asked = validators(&row, &url, MeasureMode::Fast).unwrap();
        assert_eq!(asked.url, "http://b.example/");
    }
}
