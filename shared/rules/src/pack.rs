//! Packs as they are written down.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::Check;

/// Longest text of a pack, in bytes: it travels with the batch.
const MAX_BYTES: usize = 32 * 1024;
/// Most rules of a pack.
const MAX_RULES: usize = 100;
/// Longest name.
const MAX_NAME: usize = 40;

/// Rules that belong together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its name in result rows.
    pub name: String,
    /// What it is about, for a person.
    pub title: String,
    /// The page that its figures come from.
    pub source: Option<String>,
    /// When that was read: `YYYY-MM-DD`.
    pub read_on: Option<String>,
    /// The rules.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Rule {
    /// Its name in the pack.
    pub id: String,
    /// What the marketplace says, in a sentence.
    pub about: Option<String>,
    /// The page that says so, where it is another than the pack's.
    pub source: Option<String>,
    /// What is checked.
    #[serde(flatten)]
    pub check: Check,
}

/// A pack that cannot be read; the sentence says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPack(String);

impl Pack {
    /// Reads a pack from TOML.
    pub fn parse(text: &str) -> Result<Self, InvalidPack> {
        if text.len() > MAX_BYTES {
            return Err(InvalidPack(format!(
                "the pack is longer than {} KiB",
                MAX_BYTES / 1024
            )));
        }
        let pack: Self = toml::from_str(text)
            .map_err(|error| InvalidPack(error.to_string().trim().to_owned()))?;
        if let Some(fault) = pack.fault() {
            return Err(InvalidPack(fault));
        }
        Ok(pack)
    }

    fn fault(&self) -> Option<String> {
        if !is_name(&self.name) {
            return Some(format!(
                "the name {:?} may have letters, digits and -, {MAX_NAME} at most",
                self.name
            ));
        }
        if self.rules.is_empty() || self.rules.len() > MAX_RULES {
            return Some(format!("a pack has 1 to {MAX_RULES} rules"));
        }
        let mut ids = BTreeSet::new();
        for rule in &self.rules {
            let id = &rule.id;
            if !is_name(id) {
                return Some(format!(
                    "the name {id:?} of a rule may have letters, digits and -, {MAX_NAME} at most"
                ));
            }
            if !ids.insert(id) {
                return Some(format!("two rules are called {id}"));
            }
            if let Some(fault) = rule.check.fault() {
                return Some(format!("the rule {id} asks for nothing: {fault}"));
            }
        }
        None
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_that_cannot_be_read_says_why() {
        let rule = "[[rule]]\nid='a'\ncheck='no_alpha'\n";
        let cases = [
            ("name='x'\ntitle='X'".to_owned(), "missing field `rule`"),
            (format!("name='x y'\ntitle='X'\n{rule}"), "letters, digits"),
            (
                format!("name='x'\ntitle='X'\n{rule}{rule}"),
                "two rules are called a",
            ),
            (
                "name='x'\ntitle='X'\n[[rule]]\nid='a'\ncheck='no_such'".to_owned(),
                "no_such",
            ),
            (
                "name='x'\ntitle='X'\n[[rule]]\nid='a'\ncheck='formats'\nformats=['jpg']"
                    .to_owned(),
                "jpg",
            ),
            (
                "name='x'\ntitle='X'\n[[rule]]\nid='a'\ncheck='aspect'\nmin=2.0\nmax=1.0"
                    .to_owned(),
                "not above `max`",
            ),
            ("# ".repeat(20_000), "longer than"),
        ];
        for (text, said) in cases {
            let error = Pack::parse(&text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
