//! The checks that rules are made of.

use domain::{ImageFormat, Issue, ResultRow};
use serde::Deserialize;
use serde_json::Value;

use crate::Ruling;

/// What a rule looks at, and what it asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum Check {
    /// Both sides have at least so many pixels.
    MinSides {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The longer side has at least so many pixels.
    MinLongestSide {
        /// Pixels.
        pixels: u32,
    },
    /// The longer side has at most so many pixels.
    MaxLongestSide {
        /// Pixels.
        pixels: u32,
    },
    /// Width × height is at most this.
    MaxPixels {
        /// Pixels.
        pixels: u64,
    },
    /// The file has at least so many bytes.
    MinBytes {
        /// Bytes.
        bytes: u64,
    },
    /// The file has at most so many bytes.
    MaxBytes {
        /// Bytes.
        bytes: u64,
    },
    /// Width ÷ height lies between the two.
    Aspect {
        /// At least.
        min: f64,
        /// At most.
        max: f64,
    },
    /// The content is of one of these formats.
    Formats {
        /// The formats.
        formats: Vec<ImageFormat>,
    },
    /// There are at most so many frames or pages.
    MaxFrames {
        /// Frames.
        frames: u32,
    },
    /// Colours are stored in one of these ways; a profile makes no difference.
    ColorSpaces {
        /// Names as in result rows.
        color_spaces: Vec<String>,
    },
    /// There is no alpha channel.
    NoAlpha,
    /// One of the dominant colours is nearly white: what is on white has it, though not everything that has it is on white.
    WhiteAmongColors {
        /// Every channel is at least this, 0 … 255.
        above: u8,
    },
    /// The image has none of these flaws.
    NoIssues {
        /// The flaws.
        issues: Vec<Issue>,
    },
    /// The URL begins with `https`.
    Https,
    /// A field of the vision model's answer has this value.
    Vision {
        /// Name of the field.
        field: String,
        /// The value.
        equals: Value,
        /// The sentence where it has another.
        failure: String,
    },
}

impl Check {
    /// Holds a row whose image loaded against it.
    pub(crate) fn hold(&self, row: &ResultRow, is_final: bool) -> Ruling {
        self.ruling(row, is_final).unwrap_or(Ruling::NotChecked)
    }

    /// `None` where nothing was measured.
    fn ruling(&self, row: &ResultRow, is_final: bool) -> Option<Ruling> {
        let sides = row.width.zip(row.height);
        let longest = sides.map(|(width, height)| width.max(height));
        Some(match self {
            Self::MinSides { width, height } => {
                let (has_width, has_height) = sides?;
                let passed = has_width >= *width && has_height >= *height;
                unless(passed, || {
                    format!(
                        "The image has {has_width} × {has_height} pixels; at least {width} × {height} are required."
                    )
                })
            }
            Self::MinLongestSide { pixels } => {
                let has = longest?;
                unless(has >= *pixels, || {
                    format!("The longer side has {has} pixels; at least {pixels} are required.")
                })
            }
            Self::MaxLongestSide { pixels } => {
                let has = longest?;
                unless(has <= *pixels, || {
                    format!("The longer side has {has} pixels; at most {pixels} are allowed.")
                })
            }
            Self::MaxPixels { pixels } => {
                let (width, height) = sides?;
                let has = u64::from(width) * u64::from(height);
                unless(has <= *pixels, || {
                    format!(
                        "The image has {:.1} megapixels; at most {:.1} are allowed.",
                        has as f64 / 1e6,
                        *pixels as f64 / 1e6
                    )
                })
            }
            Self::MinBytes { bytes } => {
                let has = row.bytes?;
                unless(has >= *bytes, || {
                    format!("The file has {has} bytes; at least {bytes} are required.")
                })
            }
            Self::MaxBytes { bytes } => {
                let has = row.bytes?;
                unless(has <= *bytes, || {
                    format!(
                        "The file has {:.1} MB; at most {:.1} MB are allowed.",
                        has as f64 / 1e6,
                        *bytes as f64 / 1e6
                    )
                })
            }
            Self::Aspect { min, max } => {
                let (width, height) = sides?;
                let has = f64::from(width) / f64::from(height.max(1));
                unless((*min..=*max).contains(&has), || {
                    format!(
                        "Width to height is {has:.2} to 1; it has to lie between {min:.2} and {max:.2}."
                    )
                })
            }
            Self::Formats { formats } => {
                let has = row.format?;
                unless(formats.contains(&has), || {
                    let names: Vec<&str> = formats.iter().map(|one| one.as_str()).collect();
                    format!("The format is {has}; allowed are {}.", names.join(", "))
                })
            }
            Self::MaxFrames { frames } => at_most_frames(row.frames?, *frames),
            Self::ColorSpaces { color_spaces } => {
                stored_as_one_of(row.color_space.as_deref()?, color_spaces)
            }
            Self::NoAlpha => unless(!row.has_alpha?, || {
                "The image has an alpha channel; it has to be opaque.".to_owned()
            }),
            Self::WhiteAmongColors { above } => {
                let mut colors = row.palette.as_ref()?.iter();
                let has_white = colors.any(|color| color.0.iter().all(|channel| channel >= above));
                unless(has_white, || {
                    "None of the dominant colours is white, so the background is not.".to_owned()
                })
            }
            Self::NoIssues { issues } => none_of(row, issues, is_final)?,
            Self::Https => {
                let url = row.final_url.as_deref().unwrap_or(&row.url);
                let is_https = url
                    .get(..6)
                    .is_some_and(|start| start.eq_ignore_ascii_case("https:"));
                unless(is_https, || {
                    "The image is not served over HTTPS.".to_owned()
                })
            }
            Self::Vision {
                field,
                equals,
                failure,
            } => {
                let has = row.vision.as_ref()?.get(field)?;
                unless(has == equals, || failure.clone())
            }
        })
    }

    /// What is wrong with the figures themselves, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Aspect { min, max } if !(*min > 0.0 && min <= max) => {
                Some("`min` has to be above 0 and not above `max`")
            }
            Self::Formats { formats } if formats.is_empty() => Some("`formats` is empty"),
            Self::ColorSpaces { color_spaces } if color_spaces.is_empty() => {
                Some("`color_spaces` is empty")
            }
            Self::NoIssues { issues } if issues.is_empty() => Some("`issues` is empty"),
            Self::MaxFrames { frames: 0 } => Some("`frames` is 0, which no image has"),
            _ => None,
        }
    }
}

fn at_most_frames(has: u32, frames: u32) -> Ruling {
    unless(has <= frames, || {
        let allowed = if frames == 1 {
            "only one is allowed".to_owned()
        } else {
            format!("at most {frames} are allowed")
        };
        format!("The file has {has} frames; {allowed}.")
    })
}

fn stored_as_one_of(has: &str, color_spaces: &[String]) -> Ruling {
    let has = has.strip_suffix("+icc").unwrap_or(has);
    unless(color_spaces.iter().any(|one| one == has), || {
        let names = color_spaces.join(", ");
        format!("Colours are stored as {has}; allowed are {names}.")
    })
}

/// `None` as long as other rows may still show one of the flaws.
fn none_of(row: &ResultRow, issues: &[Issue], is_final: bool) -> Option<Ruling> {
    let found: Vec<&str> = issues
        .iter()
        .filter(|issue| row.issues.contains(issue))
        .map(|issue| issue.as_str())
        .collect();
    let may_come = !is_final && issues.iter().any(|one| one.is_of_all_rows());
    if found.is_empty() && may_come {
        return None;
    }
    Some(unless(found.is_empty(), || {
        let found = found.join(", ").replace('_', " ");
        format!("The image was found to be: {found}.")
    }))
}

fn unless(passed: bool, reason: impl FnOnce() -> String) -> Ruling {
    if passed {
        Ruling::Passed
    } else {
        Ruling::Failed(reason())
    }
}
