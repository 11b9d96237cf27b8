//! X-Robots-Tag: what a host wants its answers used for, as search engines document it, with the `noai` that image hosts added.

use http::HeaderMap;

/// Directives that decline what a measuring robot does.
const DECLINING: [&str; 5] = ["noai", "noimageai", "noindex", "noimageindex", "none"];
/// Directives with a value, whose colon does not end the name of a robot.
const WITH_VALUE: [&str; 4] = [
    "unavailable_after",
    "max-snippet",
    "max-image-preview",
    "max-video-preview",
];

/// The directive that declines, if one does that is meant for all robots or for the one called `robot`.
pub(crate) fn declining_directive(headers: &HeaderMap, robot: &str) -> Option<&'static str> {
    for value in headers.get_all("x-robots-tag") {
        let Ok(value) = value.to_str() else {
            continue;
        };
        // A robot's name holds for the rest of its field.
        let mut is_for_us = true;
        for part in value.split(',') {
            let mut directive = part.trim();
            if let Some((name, rest)) = directive.split_once(':') {
                let name = name.trim();
                if WITH_VALUE
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(name))
                {
                    continue;
                }
                is_for_us = name == "*" || name.eq_ignore_ascii_case(robot);
                directive = rest.trim();
            }
            let declining = DECLINING
                .iter()
                .find(|known| known.eq_ignore_ascii_case(directive));
            if is_for_us && declining.is_some() {
                return declining.copied();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declined(values: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-robots-tag", value.parse().unwrap());
        }
        declining_directive(&headers, "imgsweep")
    }

    #[test]
    fn directives_for_all_robots_are_obeyed() {
        assert_eq!(declined(&["noai, noimageai"]), Some("noai"));
        assert_eq!(declined(&["nofollow", "NoIndex"]), Some("noindex"));
        assert_eq!(
            declined(&["unavailable_after: 25 Jun 2099 15:00:00 PST, noimageai"]),
            Some("noimageai")
        );
        assert_eq!(declined(&["*: none"]), Some("none"));
    }

    #[test]
    fn directives_that_decline_something_else_are_not() {
        for value in [
            "all",
            "nofollow, noarchive",
            "max-image-preview: none",
            "noindexing",
            "",
        ] {
            assert_eq!(declined(&[value]), None, "{value}");
        }
    }

    #[test]
    fn directives_for_another_robot_are_not_ours() {
        assert_eq!(declined(&["googlebot: noindex, noai"]), None);
        assert_eq!(declined(&["googlebot: noindex", "noai"]), Some("noai"));
        assert_eq!(
            declined(&["googlebot: nofollow, ImgSweep: noindex"]),
            Some("noindex")
        );
    }
}
