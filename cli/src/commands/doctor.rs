//! `imgsweep doctor`: what is not fit for the work, with its evidence and a remedy.

mod finding;
mod local;
mod planned;
mod stack;
mod template;

use std::path::Path;

use anyhow::bail;
use finding::Severity;
use template::Stack;

use super::BadArguments;
use crate::args::doctor::DoctorArgs;
use crate::args::vision::cache_folder;
use crate::client::ApiClient;
use crate::screen::print_data;

/// Something grave was found; the command's exit status says so.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the findings are grave")]
struct Grave(usize);

pub(super) async fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    let mut findings = local::look(&args.data, args.concurrency);
    findings.push(local::cache(cache_folder(args.cache_dir.as_deref())));
    if args.environment.is_some() || args.template.is_some() {
        let executions = match &args.quotas {
            None => args.account_concurrency,
            Some(path) => Some(of_file(path, planned::executions_in)?),
        };
        if let Some(environment) = args.environment {
            findings.extend(planned::look(environment.into(), executions));
        }
        if let Some(path) = &args.template {
            let stack = of_file(path, |yaml| Stack::read(yaml, &args.parameter_overrides))?;
            findings.extend(template::look(&stack, executions));
        }
    }
    if let (Some(endpoint), Some(token)) = (&args.endpoint, &args.token) {
        findings.extend(stack::look(&ApiClient::new(endpoint, token)?).await);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let text = if args.json {
        serde_json::to_string_pretty(&serde_json::json!({ "findings": findings }))? + "\n"
    } else {
        finding::render(&findings)
    };
    print_data(&text)?;
    let grave = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Grave)
        .count();
    if grave > 0 {
        bail!(Grave(grave));
    }
    Ok(())
}

/// What `read` makes of the text of a file.
fn of_file<T>(path: &Path, read: impl Fn(&str) -> Result<T, String>) -> Result<T, BadArguments> {
    let refuse = |reason: String| BadArguments(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    read(&text).map_err(refuse)
}
