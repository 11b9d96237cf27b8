//! What the template says about labels, beside what the code reads.

use imgsweep_tests::template::{Template, repository};
use serde_json::Value;
use vision::VisionSettings;

/// Variables that are no parameters: keys come out of a secret.
const OF_ONE_MACHINE: &[&str] = &["VISION_KEYS", "VISION_KEYS_FILE"];

/// `VISION_START_RPM` of `VisionStartRpm`.
fn variable_of(parameter: &str) -> String {
    let mut name = String::new();
    for letter in parameter.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn parameters(template: &Template) -> Vec<(&str, &Value)> {
    let all = template.root()["Parameters"].as_object().unwrap().iter();
    let all = all.filter(|(name, _)| name.starts_with("Vision"));
    all.map(|(name, parameter)| (name.as_str(), parameter))
        .collect()
}

#[test]
fn every_setting_of_the_code_is_a_parameter_that_reaches_the_function() {
    let source = repository().join("shared/vision/src/settings.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let template = Template::of_the_product().unwrap();
    let functions = template.functions().unwrap();
    let function = functions.iter().find(|one| one.name == "vision").unwrap();
    let mut read = 0;
    for piece in source.split("\"VISION_").skip(1) {
        let name = format!("VISION_{}", piece.split('"').next().unwrap());
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if !is_name || OF_ONE_MACHINE.contains(&name.as_str()) {
            continue;
        }
        let Some(set) = function.environment.get(name.as_str()) else {
            panic!("{name} cannot be set");
        };
        assert_eq!(variable_of(set["Ref"].as_str().unwrap()), name);
        read += 1;
    }
    assert!(read >= 15, "{read}");
}

#[test]
fn what_nobody_sets_is_what_the_code_would_pick() {
    let template = Template::of_the_product().unwrap();
    for provider in ["openai", "rekognition"] {
        let of_the_template = VisionSettings::from_lookup(|name| {
            if name == "VISION_PROVIDER" {
                return Some(provider.to_owned());
            }
            let all = parameters(&template).into_iter();
            let (_, parameter) = all.into_iter().find(|(own, _)| variable_of(own) == name)?;
            match &parameter["Default"] {
                Value::String(text) => Some(text.clone()),
                number => Some(number.to_string()),
            }
        });
        let of_the_code = VisionSettings::from_lookup(|name| match name {
            "VISION_PROVIDER" => Some(provider.to_owned()),
            "VISION_MODEL" => Some("gpt-4o-mini".to_owned()),
            _ => None,
        });
        let (template, code) = (of_the_template.unwrap(), of_the_code.unwrap());
        assert_eq!(template.question(), code.question());
        assert_eq!(template.openai, code.openai);
        assert_eq!(template.rate, code.rate);
        assert_eq!(template.pricing, code.pricing);
        assert_eq!(template.keep_answers, code.keep_answers);
        assert_eq!(template.calls_at_once, code.calls_at_once);
    }
}

#[test]
fn a_call_ends_within_the_time_of_its_function() {
    /// What the function keeps back for what follows the last call.
    const RESERVE_S: u64 = 13;
    let template = Template::of_the_product().unwrap();
    let functions = template.functions().unwrap();
    let function = functions.iter().find(|one| one.name == "vision").unwrap();
    let parameters = parameters(&template);
    let timeout = parameters
        .iter()
        .find(|(name, _)| *name == "VisionCallTimeout");
    let longest = timeout.unwrap().1["MaxValue"].as_u64().unwrap();
    assert!(longest + RESERVE_S < function.timeout_seconds, "{longest}");
}

#[test]
fn who_takes_lists_and_who_keeps_images_know_the_provider_as_well() {
    let template = Template::of_the_product().unwrap();
    for function in template.functions().unwrap() {
        let variables: &[&str] = match function.name {
            "upload" => &[
                "VISION_PROVIDER",
                "VISION_PRICE_PER_CALL",
                "VISION_PRICE_INPUT",
                "VISION_PRICE_OUTPUT",
            ],
            "analyze" => &["VISION_PROVIDER", "VISION_IMAGE_MAX_SIZE"],
            _ => &[],
        };
        for name in variables {
            let set = function.environment.get(name).unwrap();
            assert_eq!(variable_of(set["Ref"].as_str().unwrap()), *name);
        }
    }
}
