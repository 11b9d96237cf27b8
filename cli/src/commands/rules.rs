//! `imgsweep rules`: the rule packs that come with the program.

use std::fmt::Write;

use anyhow::bail;
use domain::{BatchOptions, RulePack};
use pipeline::rule_packs::Packs;
use rules::{BUILT_IN, Pack, TEMPLATE, built_in};

use super::BadArguments;
use crate::args::RulesArgs;
use crate::screen::print_data;

pub(super) fn rules(args: &RulesArgs) -> anyhow::Result<()> {
    let Some(wanted) = args.pack.as_deref() else {
        print_data(&listing()?)?;
        return Ok(());
    };
    let text = match wanted {
        "template" => Some(TEMPLATE),
        name => built_in(name),
    };
    let Some(text) = text else {
        bail!(BadArguments(format!(
            "there is no rule pack {wanted:?}; `imgsweep rules` lists them"
        )));
    };
    print_data(text)?;
    Ok(())
}

/// Names of built-in packs, and files: what `--rules` takes.
pub(super) fn packs(wanted: &[String]) -> anyhow::Result<Vec<RulePack>> {
    let mut packs = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let path = std::path::Path::new(wanted);
        let is_toml = path.extension().is_some_and(|ending| ending == "toml");
        packs.push(if is_toml || path.components().count() > 1 {
            let toml = std::fs::read_to_string(wanted)
                .map_err(|error| BadArguments(format!("{wanted}: {error}")))?;
            RulePack::Own { toml }
        } else {
            RulePack::BuiltIn(wanted.clone())
        });
    }
    let options = BatchOptions {
        rules: packs,
        ..BatchOptions::default()
    };
    let checked = Packs::parse(&options);
    checked.map_err(|error| BadArguments(error.to_string()))?;
    Ok(options.rules)
}

/// Name, title and rules of each.
fn listing() -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, toml) in BUILT_IN {
        let pack = Pack::parse(toml)?;
        writeln!(text, "{name}: {}", pack.title)?;
        for rule in &pack.rules {
            let about = rule.about.as_deref().unwrap_or_default();
            writeln!(text, "  {:<18} {about}", rule.id)?;
        }
        if let (Some(source), Some(read_on)) = (&pack.source, &pack.read_on) {
            writeln!(text, "  {source}, read on {read_on}")?;
        }
        text.push('\n');
    }
    text.push_str("template: a pack to copy and change, with every check there is\n");
    Ok(text)
}
