//! What a look came to.

use std::fmt::Write;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// As it should be.
    Fine,
    /// It costs time or money.
    Doubtful,
    /// Work fails, or will.
    Grave,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What was looked at, or what is wrong, in a few words.
    pub(super) title: String,
    /// The figures that show it.
    pub(super) evidence: String,
    /// What to do; empty where nothing is to be done.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn fine(title: &str, evidence: impl Into<String>) -> Self {
        Self::new(Severity::Fine, title, evidence, "")
    }

    pub(super) fn doubtful(
        title: &str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Doubtful, title, evidence, remedy)
    }

    pub(super) fn grave(
        title: &str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Grave, title, evidence, remedy)
    }

    fn new(
        severity: Severity,
        title: &str,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            title: title.to_owned(),
            evidence: evidence.into(),
            remedy: remedy.into(),
        }
    }
}

/// The findings as text, the worst first as they come.
pub(super) fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Fine => "fine",
            Severity::Doubtful => "doubtful",
            Severity::Grave => "GRAVE",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word:<9} {}: {}", finding.title, finding.evidence);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "          To do: {}", finding.remedy);
        }
    }
    text
}
