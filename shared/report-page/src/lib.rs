//! The report of a batch as one HTML page: it holds everything it shows, asks no network, runs no script, follows the reader's light
//! or dark setting, and prints.
//!
//! | file | what |
//! |---|---|
//! | [`render`] | the page: its sections in order |
//! | `sections` | a section each |
//! | `charts` | histograms and the time line, as inline SVG |
//! | `numbers` | figures as a person reads them |

mod charts;
mod numbers;
mod sections;

use maud::{DOCTYPE, PreEscaped, html};
use pipeline::report::Report;

/// What the page may do, where it is served over HTTP: show itself.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// The page.
pub fn render(report: &Report) -> String {
    let title = format!("{}: report", report.batch.name);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (sections::head(report))
                main {
                    (sections::card(report))
                    (sections::time_line(report))
                    (sections::outcomes(report))
                    (sections::rules(report))
                    (sections::issues(report))
                    (sections::duplicates(report))
                    (sections::vision(report))
                    (sections::distributions(report))
                    (sections::formats(report))
                    (sections::hosts(report))
                    (sections::retries(report))
                    (sections::cost(report))
                }
                (sections::foot(report))
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests;
