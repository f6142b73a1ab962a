//! Plain decimal numbers, kept exact: no sign, no exponent.

/// Digits, and how many of them stand behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u128,
    behind: u32,
}

impl Decimal {
    /// The number that a text begins with, if it is one, and the rest.
    pub(crate) fn split(text: &str) -> (Option<Self>, &str) {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        (Self::parse(number), rest)
    }

    fn parse(number: &str) -> Option<Self> {
        let (whole, part) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (number, ""),
        };
        if whole.is_empty() || part.contains('.') {
            return None;
        }
        // What is behind the eighteenth digit is less than anything that is counted.
        let part = part.get(..18).unwrap_or(part);
        let digits = whole.bytes().chain(part.bytes());
        let number = digits.fold(0, |number: u128, digit| {
            number.saturating_mul(10).saturating_add(u128::from(digit - b'0'))
        });
        Some(Self { digits: number, behind: part.len() as u32 })
    }

    /// So many times this, rounded down; `None` if that is too much.
    pub(crate) fn times(self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10_u128.pow(self.behind))
    }
}
