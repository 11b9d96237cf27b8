//! A running server: whether it answers, what it says is in its way, and which promises it breaks.
//!
//! The thresholds (less than 50 URLs a minute, more than 10 % of errors, more than 1,000 messages waiting: source A19 of the product's
//! requirements) are the server's own, in `/api/v1/monitoring/bottlenecks`.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::finding::Finding;
use crate::client::ApiClient;

/// Reads an answer.
type Read = fn(&Value) -> Vec<Finding>;

/// Looks at everything that the server tells.
pub(super) async fn look(client: &ApiClient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, title) in [("/health", "alive"), ("/ready", "ready")] {
        let answer = client.send(Method::GET, path, None, Bytes::new()).await;
        match answer {
            Ok(answer) if answer.status.is_success() => {
                findings.push(Finding::fine(title, format!("{path} answers")));
            }
            Ok(answer) => findings.push(Finding::grave(
                title,
                format!("{path} answers {}", answer.status.as_u16()),
                "look at the server's log: its store, queues or objects cannot be reached",
            )),
            Err(error) => {
                let remedy = "look whether the address is right, and whether the server runs";
                findings.push(Finding::grave(title, format!("{error:#}"), remedy));
                return findings;
            }
        }
    }

    let questions: [(&str, Read); 2] = [
        ("/api/v1/monitoring/bottlenecks", bottlenecks),
        ("/api/v1/monitoring/slo", objectives),
    ];
    for (path, read) in questions {
        match client.json(Method::GET, path, None).await {
            Ok(document) => findings.extend(read(&document)),
            Err(error) => findings.push(Finding::grave(
                "monitoring",
                format!("{path}: {error:#}"),
                "look whether the token is one of this server, and not revoked",
            )),
        }
    }
    findings
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bottlenecks(document: &Value) -> Vec<Finding> {
    let Some(found) = document["bottlenecks"].as_array() else {
        return vec![not_understood("bottlenecks")];
    };
    if found.is_empty() {
        return vec![Finding::fine("bottlenecks", "nothing is in the way")];
    }
    let of = |one: &Value| {
        let evidence: Vec<String> = one["evidence"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect();
        let (title, evidence, remedy) = (
            text(&one["title"]),
            evidence.join(" "),
            text(&one["remedy"]),
        );
        if one["severity"] == "high" {
            Finding::grave(&title, evidence, remedy)
        } else {
            Finding::doubtful(&title, evidence, remedy)
        }
    };
    found.iter().map(of).collect()
}

fn objectives(document: &Value) -> Vec<Finding> {
    let Some(objectives) = document["objectives"].as_array() else {
        return vec![not_understood("objectives")];
    };
    let is_broken = |objective: &&Value| objective["burn"].as_f64().is_some_and(|burn| burn > 1.0);
    let broken = objectives.iter().filter(is_broken).map(|objective| {
        let figure = |name: &str| objective[name].as_f64().unwrap_or(0.0);
        Finding::doubtful(
            &format!("objective {}", text(&objective["name"])),
            format!(
                "{} It is {:.1} {unit}, {:.1} {unit} are promised.",
                text(&objective["objective"]),
                figure("actual"),
                figure("budget"),
                unit = text(&objective["unit"])
            ),
            "see the bottlenecks; docs/OPERATIONS.md says what to do at each alarm",
        )
    });
    let broken: Vec<Finding> = broken.collect();
    if broken.is_empty() {
        return vec![Finding::fine(
            "objectives",
            format!("{} are kept", objectives.len()),
        )];
    }
    broken
}

fn not_understood(what: &str) -> Finding {
    Finding::doubtful(
        what,
        "the server's answer is not understood",
        "use a program of the server's version",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_finds_is_passed_on_with_its_remedy() {
        let found = bottlenecks(&json!({"bottlenecks": [
            {"severity": "high", "title": "Work piles up", "evidence": ["6000 wait."], "remedy": "more workers"},
            {"severity": "medium", "title": "Slow", "evidence": ["a", "b"], "remedy": "wait"},
        ]}));
        assert_eq!(
            found[0],
            Finding::grave("Work piles up", "6000 wait.", "more workers")
        );
        assert_eq!(found[1], Finding::doubtful("Slow", "a b", "wait"));
        assert_eq!(
            bottlenecks(&json!({"bottlenecks": []}))[0].severity,
            Severity::Fine
        );
        assert_eq!(bottlenecks(&json!({}))[0].severity, Severity::Doubtful);
    }

    #[test]
    fn a_broken_promise_is_named_with_both_figures() {
        let found = objectives(&json!({"objectives": [
            {"name": "api_p95", "objective": "Fast.", "unit": "ms", "budget": 200.0, "actual": 350.0, "burn": 1.75},
            {"name": "errors", "objective": "Few.", "unit": "%", "budget": 1.0, "actual": null, "burn": null},
        ]}));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].evidence.contains("350.0 ms, 200.0 ms"),
            "{found:?}"
        );
    }
}
