//! A stack as it would be deployed, against what an account may have.

use planning::workload::{Environment, Pollers};
use serde_json::Value;

use super::finding::Finding;

/// Executions that everything but analyze needs at once: API, fan-out, finalize, metrics, vision, janitor.
const OTHERS: u64 = 60;
/// What a new account may have; the usual quota is 1,000.
const NEW_ACCOUNT: u64 = 10;
/// Lambda keeps so many executions unreserved in every account.
const QUOTA: &str = "Concurrent executions";

/// The quota in what `aws service-quotas list-service-quotas` printed.
pub(super) fn executions_in(json: &str) -> Result<u64, String> {
    let document: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let quotas = document["Quotas"]
        .as_array()
        .ok_or("there are no Quotas in it")?;
    let quota = quotas.iter().find(|quota| quota["QuotaName"] == QUOTA);
    let value = quota.and_then(|quota| quota["Value"].as_f64());
    value
        .map(|value| value as u64)
        .ok_or_else(|| format!("there is no quota {QUOTA:?} in it: ask for --service-code lambda"))
}

/// Whether the environment fits into so many executions at once.
pub(super) fn look(environment: Environment, executions: Option<u64>) -> Vec<Finding> {
    let title = "concurrent executions";
    let setup = environment.setup();
    let name = environment.as_str();
    let wanted = setup.functions + OTHERS;
    let mut findings = vec![match executions {
        None => Finding::doubtful(
            title,
            format!("{name} wants {wanted} at once, and what the account may have was not said"),
            "say it with --account-concurrency N, or with --quotas and the answer of `aws service-quotas list-service-quotas --service-code lambda`",
        ),
        Some(executions) if executions <= NEW_ACCOUNT => Finding::grave(
            title,
            format!("the account may have {executions}, as new accounts do; {name} wants {wanted}"),
            "ask for 1,000 in the console of Service Quotas; it is granted in a day or two",
        ),
        Some(executions) if executions < wanted => Finding::grave(
            title,
            format!(
                "the account may have {executions}; {name} wants {wanted}, {OTHERS} of them for everything but analyze"
            ),
            format!(
                "deploy with AnalyzeMaximumConcurrency={}, or ask for a higher quota",
                executions.saturating_sub(OTHERS).max(2)
            ),
        ),
        Some(executions) => Finding::fine(title, format!("{wanted} of {executions} wanted")),
    }];
    if environment == Environment::Production && setup.pollers == Pollers::Standard {
        findings.push(Finding::doubtful(
            "pollers",
            "standard pollers begin with 5 executions and add 300 a minute",
            "where minutes matter deploy with AnalyzeMinimumPollers (`imgsweep plan` says what that brings and costs)",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn an_account_that_is_too_small_is_told_what_it_bears() {
        let findings = look(Environment::Production, Some(500));
        assert_eq!(findings[0].severity, Severity::Grave);
        assert!(
            findings[0].remedy.contains("AnalyzeMaximumConcurrency=440"),
            "{findings:?}"
        );
        assert_eq!(
            look(Environment::Production, Some(1_000))[0].severity,
            Severity::Fine
        );
        assert_eq!(
            look(Environment::Development, Some(10))[0].severity,
            Severity::Grave
        );
        assert_eq!(
            look(Environment::Development, None)[0].severity,
            Severity::Doubtful
        );
    }

    #[test]
    fn the_quota_is_read_from_what_aws_prints() {
        let json = r#"{"Quotas":[{"QuotaName":"Function and layer storage","Value":75.0},{"QuotaName":"Concurrent executions","Value":1000.0}]}"#;
        assert_eq!(executions_in(json), Ok(1_000));
        assert!(
            executions_in(r#"{"Quotas":[]}"#)
                .unwrap_err()
                .contains("--service-code")
        );
        assert!(executions_in("quota").is_err());
    }
}
