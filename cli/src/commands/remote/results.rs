//! `imgsweep results`: rows of a batch as NDJSON, page by page.

use std::fmt::Write;

use http::Method;
use url::form_urlencoded;

use super::{batch_path, client};
use crate::args::remote::ResultsArgs;
use crate::screen::print_data;

/// Rows asked for at once.
const PAGE_ROWS: u64 = 1_000;

pub(in crate::commands) async fn results(args: &ResultsArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let path = batch_path(&args.batch)?;
    let mut wanted = args.limit.unwrap_or(u64::MAX);
    let mut cursor: Option<String> = None;
    while wanted > 0 {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &wanted.min(PAGE_ROWS).to_string());
        if let Some(outcome) = args.outcome {
            query.append_pair("outcome", outcome.as_str());
        }
        if let Some(issue) = args.issue {
            query.append_pair("issue", issue.as_str());
        }
        if let Some(host) = &args.host {
            query.append_pair("host", host);
        }
        if let Some(cursor) = &cursor {
            query.append_pair("cursor", cursor);
        }
        let path = format!("{path}/results?{}", query.finish());
        let page = client.json(Method::GET, &path, None).await?;
        let mut lines = String::new();
        for row in page["data"].as_array().into_iter().flatten() {
            let _ = writeln!(lines, "{row}");
            wanted -= 1;
        }
        print_data(&lines)?;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}
