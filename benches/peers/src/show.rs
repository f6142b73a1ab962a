//! Numbers as people read them.

/// Three digits and a letter: 1.23M, 45.6k, 789, 1.20.
pub(crate) fn number(value: f64) -> String {
    let (value, letter) = match value {
        value if value >= 999.5e6 => (value / 1e9, "G"),
        value if value >= 999.5e3 => (value / 1e6, "M"),
        value if value >= 999.5 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{letter}")
}

/// A length of time that is given in microseconds.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        micros if micros < 1.0 => format!("{:.0} ns", micros * 1e3),
        micros if micros < 999.5 => format!("{} µs", number(micros)),
        micros if micros < 999.5e3 => format!("{} ms", number(micros / 1e3)),
        micros => format!("{} s", number(micros / 1e6)),
    }
}

/// How many times.
pub(crate) fn times(ratio: f64) -> String {
    if ratio >= 9.95 { format!("{ratio:.0}×") } else { format!("{ratio:.2}×") }
}

#[cfg(test)]
mod tests {
    use super::{number, time};

    #[test]
    fn three_digits() {
        let shown = [0.5, 9.999, 99.96, 999.6, 45_600.0, 999_600.0, 1.234e6].map(number);
        assert_eq!(shown, ["0.50", "10.0", "100", "1.00k", "45.6k", "1.00M", "1.23M"]);
    }

    #[test]
    fn units_of_time() {
        assert_eq!([0.08, 25.0, 4200.0, 2e6].map(time), ["80 ns", "25.0 µs", "4.20 ms", "2.00 s"]);
    }
}
