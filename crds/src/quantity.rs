//! Quantities: amounts of memory, disk and CPU as Kubernetes writes them, such as "512Mi" or "1500m".
use std::{borrow::Cow, fmt, str::FromStr, sync::OnceLock};

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How a quantity looks; no sign, for no amount of ours is negative.
const PATTERN: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?$";
/// The longest text of a quantity, in characters.
const MAX_LENGTH: usize = 32;
/// The largest whole number that JSON carries exactly.
const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// An amount of something, kept as it was written. In JSON a string or a whole number, as in Kubernetes' own objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    /// Whether it was a number in JSON; then it stays one.
    number: bool,
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a number with a suffix such as Ki, Mi, Gi, k, M, G or m, in at most 32 characters")]
pub struct QuantityError;

impl Quantity {
    /// So many GiB.
    pub fn gibibytes(number: u32) -> Self {
        Self { text: format!("{number}Gi"), number: false }
    }

    /// The amount in whole units (bytes, cores), rounded up. `u64::MAX` for more than that.
    pub fn units(&self) -> u64 {
        self.scaled(0)
    }

    /// The amount in thousandths of a unit (millicores), rounded up. `u64::MAX` for more than that.
    pub fn thousandths(&self) -> u64 {
        self.scaled(3)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The amount times `10^digits`, rounded up.
    fn scaled(&self, digits: i32) -> u64 {
        let end = self.text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.text.len());
        let (number, suffix) = self.text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let fraction = fraction.trim_end_matches('0');
        let (binary, exponent) = multiplier(suffix);
        let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let value = format!("0{whole}{fraction}").parse::<u128>().ok().and_then(|mantissa| {
            let mantissa = mantissa.checked_mul(1 << binary)?;
            shifted(mantissa, exponent.checked_add(digits)?.checked_sub(places)?)
        });
        value.and_then(|value| u64::try_from(value).ok()).unwrap_or(u64::MAX)
    }
}

/// Powers of two and of ten that a suffix stands for.
fn multiplier(suffix: &str) -> (u32, i32) {
    match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        // The pattern leaves an exponent, or nothing.
        exponent => (0, exponent.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0)),
    }
}

/// `value` times `10^exponent`, rounded up; None if that is too large.
fn shifted(value: u128, exponent: i32) -> Option<u128> {
    match 10_u128.checked_pow(exponent.unsigned_abs()) {
        Some(power) if exponent < 0 => Some(value.div_ceil(power)),
        Some(power) => value.checked_mul(power),
        None if exponent < 0 => Some(u128::from(value > 0)),
        None => (value == 0).then_some(0),
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        static PARSED: OnceLock<Option<Regex>> = OnceLock::new();
        let pattern = PARSED.get_or_init(|| Regex::new(PATTERN).ok());
        let fits = text.len() <= MAX_LENGTH;
        let valid = fits && pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
        if valid { Ok(Self { text: text.to_owned(), number: false }) } else { Err(QuantityError) }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text.parse::<i64>() {
            Ok(number) if self.number => serializer.serialize_i64(number),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity, such as \"512Mi\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        let Quantity { text, .. } = number.to_string().parse().map_err(E::custom)?;
        Ok(Quantity { text, number: true })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        self.visit_u64(u64::try_from(number).map_err(E::custom)?)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": PATTERN,
            "maxLength": MAX_LENGTH,
            "minimum": 0,
            "maximum": MAX_INTEGER,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_those_of_kubernetes() {
        let amounts = [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("2", 2, 2000),
            ("1.5", 2, 1500),
            (".5", 1, 500),
            ("1.", 1, 1000),
            ("1500m", 2, 1500),
            ("100u", 1, 1),
            ("1n", 1, 1),
            ("1k", 1000, 1_000_000),
            ("1Ki", 1024, 1_024_000),
            ("0.5Ki", 512, 512_000),
            ("512Mi", 512 << 20, (512 << 20) * 1000),
            ("1.25Gi", 5 << 28, (5 << 28) * 1000),
            ("1e3", 1000, 1_000_000),
            ("15E-1", 2, 1500),
            ("1E", 10_u64.pow(18), u64::MAX),
            ("1Ei", 1 << 60, u64::MAX),
            ("1e99", u64::MAX, u64::MAX),
            ("0e99", 0, 0),
            ("1e-99", 1, 1),
            ("99999999999999999999999999999999", u64::MAX, u64::MAX),
        ];
        for (text, units, thousandths) in amounts {
            let quantity = quantity(text);
            assert_eq!((quantity.units(), quantity.thousandths()), (units, thousandths), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-1", "+1", "1 Mi", "Mi", ".", "1.2.3", "1K", "1mi", "1e", "1e100", "1MiB", "0x1"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError), "{text:?}");
        }
        assert!("1".repeat(MAX_LENGTH).parse::<Quantity>().is_ok());
        assert!("1".repeat(MAX_LENGTH + 1).parse::<Quantity>().is_err());
    }

    #[test]
    fn numbers_stay_numbers() {
        for json in ["2", "\"2\"", "\"512Mi\""] {
            let quantity: Quantity = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&quantity).unwrap(), json);
        }
        for json in ["-1", "0.5", "true", "null", "\"x\""] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[0-9.]{0,34}([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,3})?") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let (units, thousandths) = (quantity.units(), quantity.thousandths());
                prop_assert!(thousandths >= units || units == u64::MAX);
                prop_assert!(thousandths == u64::MAX || thousandths.div_ceil(1000) == units);
            }
        }
    }
}
