//! What the bucket says on the split queue when an object arrived (Amazon S3 event notifications).

use serde::Deserialize;
use url::form_urlencoded;

/// A notification: of objects, or the test that S3 sends when notifications are configured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Notification {
    /// Objects came or went.
    Objects {
        /// One entry an object.
        #[serde(rename = "Records")]
        records: Vec<ObjectEvent>,
    },
    /// `s3:TestEvent`; there is nothing to do.
    Test {
        /// The name of the event.
        #[serde(rename = "Event")]
        event: TestEvent,
    },
}

/// The name of the test event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TestEvent {
    /// The only one.
    #[serde(rename = "s3:TestEvent")]
    Test,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ObjectEvent {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: S3,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct S3 {
    object: Object,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Object {
    key: String,
}

impl Notification {
    /// Keys of the objects that were created.
    pub fn created_keys(&self) -> Vec<String> {
        match self {
            Self::Objects { records } => records
                .iter()
                .filter(|record| record.event_name.starts_with("ObjectCreated:"))
                .map(|record| decoded(&record.s3.object.key))
                .collect(),
            Self::Test { .. } => Vec::new(),
        }
    }
}

/// A key as it is: notifications carry it form-encoded.
fn decoded(key: &str) -> String {
    let mut pairs = form_urlencoded::parse(key.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_created_objects_are_read() {
        let body = r#"{"Records": [
            {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
             "s3": {"bucket": {"name": "b"}, "object": {"key": "uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV", "size": 9, "eTag": "x"}}},
            {"eventName": "ObjectCreated:CompleteMultipartUpload", "s3": {"object": {"key": "uploads%2Fa+b%C3%A9"}}},
            {"eventName": "ObjectRemoved:Delete", "s3": {"object": {"key": "uploads/gone"}}}]}"#;
        let notification: Notification = serde_json::from_str(body).unwrap();
        assert_eq!(
            notification.created_keys(),
            ["uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV", "uploads/a bé"]
        );
    }

    #[test]
    fn the_test_event_names_no_object() {
        let body =
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-01","Bucket":"b"}"#;
        let notification: Notification = serde_json::from_str(body).unwrap();
        assert!(notification.created_keys().is_empty());
    }

    #[test]
    fn a_split_message_is_no_notification() {
        let body = r#"{"batch":"01ARZ3NDEKTSV4RRFFQ69G5FAV","continuation":0}"#;
        assert!(serde_json::from_str::<Notification>(body).is_err());
    }
}
