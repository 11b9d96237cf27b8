//! Figures as a person reads them.

use jiff::Timestamp;

/// `1,234,567`
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 %`; of nothing a dash.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    if part > 0 && percent < 0.1 {
        return "< 0.1 %".to_owned();
    }
    format!("{percent:.1} %")
}

/// `1.2 MB`, in powers of ten.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    for (size, unit) in UNITS {
        if value >= size {
            return format!("{} {unit}", short(value / size));
        }
    }
    format!("{value:.0} B")
}

/// At most three digits behind which nothing is lost that matters: `0.05`, `1.2`, `17`, `1,200`.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        return count(value.round() as u64);
    }
    let decimals = match size {
        0.0 => 0,
        size if size < 0.1 => 3,
        size if size < 1.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// `2 h 5 min`, `5 min 3 s`, `3.2 s`
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=59 => format!("{} s", short(seconds)),
        60..=3_599 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// `2026-01-31 12:00:05 UTC`
pub(crate) fn instant(at: Timestamp) -> String {
    format!("{} UTC", at.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(share(1, 8), "12.5 %");
        assert_eq!(share(1, 1_000_000), "< 0.1 %");
        assert_eq!(share(0, 0), "–");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1_000.0), "1 kB");
        assert_eq!(bytes(1_234_567.0), "1.2 MB");
        assert_eq!(short(0.05), "0.05");
        assert_eq!(short(17.0), "17");
        assert_eq!(short(1_200.0), "1,200");
        assert_eq!(duration(3.21), "3.2 s");
        assert_eq!(duration(303.0), "5 min 3 s");
        assert_eq!(duration(7_500.0), "2 h 5 min");
    }
}
