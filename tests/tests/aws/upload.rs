//! Handing a list in, as a browser's form does.

use std::fmt::Write;

use http::{Method, StatusCode};

use crate::deployment::{Answer, Deployment};

/// No list of these tests has it in a line.
const BOUNDARY: &str = "a-boundary";

impl Deployment {
    /// Hands a list in with these fields.
    pub(crate) async fn upload(&self, list: &str, fields: &[(&str, &str)]) -> Answer {
        self.upload_once(list, fields, None).await
    }

    /// The same, with a key that makes repeats of it one.
    pub(crate) async fn upload_once(
        &self,
        list: &str,
        fields: &[(&str, &str)],
        key: Option<&str>,
    ) -> Answer {
        let mut form = String::new();
        let mut part = |disposition: &str, value: &str| {
            write!(
                form,
                "--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n"
            )
            .unwrap();
        };
        for (name, value) in fields {
            part(&format!("name=\"{name}\""), value);
        }
        part("name=\"file\"; filename=\"list.csv\"", list);
        write!(form, "--{BOUNDARY}--\r\n").unwrap();
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        self.ask_once(Method::POST, "/upload", &content_type, form, key)
            .await
    }
}

impl Answer {
    /// The id of the batch that was taken in.
    pub(crate) fn accepted_id(&self) -> &str {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{}", self.body);
        self.body["batch_id"].as_str().unwrap()
    }
}
