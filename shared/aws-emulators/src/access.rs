//! What a request does with which resource, as a policy would name it.

use serde_json::Value;

/// An action and what it was done with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The action as policies name it, such as `dynamodb:PutItem`.
    pub action: String,
    /// `table` or `index/<name>`, `bucket` or the folder of a key with its slash, the logical name of a queue, the name of a secret, the
    /// ARN of a topic.
    pub resource: String,
}

/// The parts of a request that say what it does.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// `X-Amz-Target`.
    pub(crate) target: Option<&'a str>,
    /// `X-Amz-Copy-Source`.
    pub(crate) copied_from: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

impl Asked<'_> {
    /// Everything that its sender needs the right to.
    pub(crate) fn accesses(&self) -> Vec<Access> {
        if let Some((version, operation)) = self.target.and_then(|target| target.split_once('.')) {
            let body = serde_json::from_slice(self.body).unwrap_or(Value::Null);
            return match version {
                "DynamoDB_20120810" => of_table(operation, &body),
                "AmazonSQS" => vec![of_queue(operation, &body)],
                _ => {
                    let secret = body["SecretId"].as_str().unwrap_or_default();
                    vec![access(&format!("secretsmanager:{operation}"), secret)]
                }
            };
        }
        match form(self.body, "Action") {
            Some(action) if self.method == "POST" => {
                let topic = form(self.body, "TopicArn").unwrap_or_default();
                vec![access(&format!("sns:{action}"), &topic)]
            }
            _ => self.of_bucket(),
        }
    }

    fn of_bucket(&self) -> Vec<Access> {
        let (path, query) = self.path.split_once('?').unwrap_or((self.path, ""));
        let has = |name: &str| {
            let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
            names.any(|asked| asked == name)
        };
        // Path style: /bucket/key
        let key = path.trim_start_matches('/').split_once('/');
        let key = key.map_or("", |(_, key)| key);
        let folder = folder_of(key);
        if key.is_empty() {
            return match (self.method, has("delete")) {
                ("POST", true) => {
                    let text = String::from_utf8_lossy(self.body);
                    let keys = text.split("<Key>").skip(1);
                    let keys = keys.filter_map(|rest| rest.split("</Key>").next());
                    keys.map(|key| access("s3:DeleteObject", &folder_of(key)))
                        .collect()
                }
                _ => vec![access("s3:ListBucket", "bucket")],
            };
        }
        match self.method {
            "GET" | "HEAD" => vec![access("s3:GetObject", &folder)],
            "DELETE" if has("uploadId") => vec![access("s3:AbortMultipartUpload", &folder)],
            "DELETE" => vec![access("s3:DeleteObject", &folder)],
            _ => {
                let mut done = vec![access("s3:PutObject", &folder)];
                if let Some(source) = self.copied_from {
                    let key = source.trim_start_matches('/').split_once('/');
                    let folder = folder_of(key.map_or("", |(_, key)| key));
                    done.push(access("s3:GetObject", &folder));
                }
                done
            }
        }
    }
}

fn access(action: &str, resource: &str) -> Access {
    Access {
        action: action.to_owned(),
        resource: resource.to_owned(),
    }
}

/// `lists/` of `lists/01ARZ3NDEKTSV4RRFFQ69G5FAV`.
fn folder_of(key: &str) -> String {
    let key = key.replace("%2F", "/");
    key.split_once('/')
        .map_or_else(|| key.clone(), |(folder, _)| format!("{folder}/"))
}

fn of_table(operation: &str, body: &Value) -> Vec<Access> {
    match operation {
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array();
            let kinds = items.into_iter().flatten().filter_map(Value::as_object);
            let names = kinds.flat_map(|kinds| kinds.keys());
            let names = names.map(|kind| match kind.as_str() {
                "ConditionCheck" => "ConditionCheckItem".to_owned(),
                kind => format!("{kind}Item"),
            });
            names
                .map(|name| access(&format!("dynamodb:{name}"), "table"))
                .collect()
        }
        "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object();
            let items = tables.into_iter().flat_map(|tables| tables.values());
            let items = items.filter_map(Value::as_array).flatten();
            items
                .map(|_| access("dynamodb:BatchWriteItem", "table"))
                .collect()
        }
        _ => {
            let index = body["IndexName"].as_str();
            let resource = index.map_or_else(|| "table".to_owned(), |name| format!("index/{name}"));
            vec![access(&format!("dynamodb:{operation}"), &resource)]
        }
    }
}

fn of_queue(operation: &str, body: &Value) -> Access {
    let url = body["QueueUrl"].as_str().unwrap_or_default();
    // test-0123456789abcdef-ChunksQueue
    let queue = url.rsplit(['/', '-']).next().unwrap_or_default();
    // One right covers both forms.
    let action = operation.trim_end_matches("Batch");
    access(&format!("sqs:{action}"), queue)
}

/// A field of a form.
fn form(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let mut pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(field, _)| *field == name)?;
    Some(value.replace("%3A", ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(method: &str, path: &str, target: Option<&str>, body: &str) -> Vec<(String, String)> {
        let asked = Asked {
            method,
            path,
            target,
            copied_from: path.contains("copy").then_some("/bucket/uploads/a"),
            body: body.as_bytes(),
        };
        let accesses = asked.accesses().into_iter();
        accesses.map(|it| (it.action, it.resource)).collect()
    }

    fn one(action: &str, resource: &str) -> Vec<(String, String)> {
        vec![(action.to_owned(), resource.to_owned())]
    }

    #[test]
    fn requests_of_the_services_that_speak_json() {
        let table = |operation: &str, body: &str| {
            let target = format!("DynamoDB_20120810.{operation}");
            done("POST", "/", Some(&target), body)
        };
        assert_eq!(table("GetItem", "{}"), one("dynamodb:GetItem", "table"));
        let by_status = r#"{"IndexName": "batches-by-status"}"#;
        let expected = one("dynamodb:Query", "index/batches-by-status");
        assert_eq!(table("Query", by_status), expected);
        let both = r#"{"TransactItems": [{"ConditionCheck": {}}, {"Put": {}}]}"#;
        let expected = [
            one("dynamodb:ConditionCheckItem", "table"),
            one("dynamodb:PutItem", "table"),
        ];
        assert_eq!(table("TransactWriteItems", both), expected.concat());
        let url = r#"{"QueueUrl": "http://127.0.0.1:1/1/test-01-ChunksQueue"}"#;
        let sent = done("POST", "/", Some("AmazonSQS.SendMessageBatch"), url);
        assert_eq!(sent, one("sqs:SendMessage", "ChunksQueue"));
        let secret = r#"{"SecretId": "tokens"}"#;
        let read = done("POST", "/", Some("secretsmanager.GetSecretValue"), secret);
        assert_eq!(read, one("secretsmanager:GetSecretValue", "tokens"));
        let form = "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aa%3A1%3Aend&Message=x";
        let published = done("POST", "/", None, form);
        assert_eq!(published, one("sns:Publish", "arn:aws:sns:a:1:end"));
    }

    #[test]
    fn requests_of_s3() {
        for (method, path, body, action, resource) in [
            ("GET", "/b/lists/a", "", "s3:GetObject", "lists/"),
            ("HEAD", "/b/lists/a", "", "s3:GetObject", "lists/"),
            (
                "PUT",
                "/b/lists/a?partNumber=1&uploadId=u",
                "",
                "s3:PutObject",
                "lists/",
            ),
            ("POST", "/b/lists/a?uploads", "", "s3:PutObject", "lists/"),
            (
                "DELETE",
                "/b/lists/a?uploadId=u",
                "",
                "s3:AbortMultipartUpload",
                "lists/",
            ),
            ("DELETE", "/b/lists/a", "", "s3:DeleteObject", "lists/"),
            (
                "GET",
                "/b?list-type=2&prefix=x",
                "",
                "s3:ListBucket",
                "bucket",
            ),
            (
                "POST",
                "/b?delete",
                "<Delete><Object><Key>chunks/a/1</Key></Object></Delete>",
                "s3:DeleteObject",
                "chunks/",
            ),
        ] {
            let expected = one(action, resource);
            assert_eq!(done(method, path, None, body), expected, "{method} {path}");
        }
        let copied = done("PUT", "/b/lists/copy", None, "");
        let expected = [
            one("s3:PutObject", "lists/"),
            one("s3:GetObject", "uploads/"),
        ];
        assert_eq!(copied, expected.concat());
    }
}
