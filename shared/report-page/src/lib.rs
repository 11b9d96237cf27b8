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

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, PreEscaped, html};
use pipeline::report::Report;
use sha2::{Digest, Sha256};

/// What the page may do: show itself, in its own style.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = &*STYLE_SOURCE;
    format!("default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'")
});

/// The page's style as a source of a policy (Content Security Policy Level 3, section 8.3). A page that opens the report from memory hands its
/// own policy down to it, which then has to name this.
pub static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!("'sha256-{digest}'")
});

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
                meta http-equiv="Content-Security-Policy" content=(*CONTENT_SECURITY_POLICY);
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
