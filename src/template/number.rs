//! Numbers as Go reads them in templates and writes floats.

use super::escape::{quoted, unquote_char};

/// A literal. Its text decides what it is where nothing else does.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) kind: Literal,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Literal {
    Int(i64),
    Float(f64),
    /// Larger than a whole number can be here.
    TooLarge,
}

impl Number {
    /// Reads `12`, `0x1F`, `1_000`, `1e3`, `0x1p4`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let literal = match whole(text) {
            Some(Ok(number)) => Literal::Int(number),
            Some(Err(())) if !text.contains(['.', 'e', 'E', 'p', 'P']) || text.contains(['x', 'X']) => {
                Literal::TooLarge
            }
            _ => match float(text) {
                Some(_) if !text.contains(['.', 'e', 'E', 'p', 'P']) => {
                    return Err(format!("integer overflow: {}", quoted(text)));
                }
                Some(number) => Literal::Float(number),
                None => return Err(format!("illegal number syntax: {}", quoted(text))),
            },
        };
        Ok(Self { text: text.to_owned(), kind: literal })
    }

    /// Reads `'a'`, quotes included.
    pub(super) fn rune(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('\'').unwrap_or(text);
        let (c, rest) = unquote_char(inner, '\'').ok_or("invalid syntax")?;
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        Ok(Self { text: text.to_owned(), kind: Literal::Int(i64::from(u32::from(c))) })
    }
}

/// Underscores stand only between digits, or after the mark of a base.
fn without_underscores(text: &str) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let bytes = text.trim_start_matches(['+', '-']).as_bytes();
    let based = bytes.len() > 2 && bytes[0] == b'0' && b"xXoObB".contains(&bytes[1]);
    if !based && bytes.first() != Some(&b'0') && text.contains(['.', 'e', 'E']) {
        return None;
    }
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_') {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
        let before = digit(at.checked_sub(1)) || (based && at == 2);
        if !before || !digit(Some(at + 1)) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// A whole number; `Some(Err)` when it is one but too large for 63 bits though not for 64, or only a float can hold it.
fn whole(text: &str) -> Option<Result<i64, ()>> {
    let text = without_underscores(text)?;
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let Ok(number) = u128::from_str_radix(digits, base) else { return None };
    let signed = i128::try_from(number).ok()?;
    let signed = if negative { -signed } else { signed };
    match i64::try_from(signed) {
        Ok(number) => Some(Ok(number)),
        Err(_) if !negative && !text.starts_with('+') && u64::try_from(number).is_ok() => Some(Err(())),
        Err(_) => None,
    }
}

fn float(text: &str) -> Option<f64> {
    let text = without_underscores(text)?;
    let digits = text.trim_start_matches(['+', '-']);
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let number = hex_float(hex)?;
        return Some(if text.starts_with('-') { -number } else { number });
    }
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')).then_some(number)
}

/// `1.8p3`, its mark `0x` taken away.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.is_empty() && after.is_empty() {
        return None;
    }
    let mut number = 0.0_f64;
    for c in before.chars().chain(after.chars()) {
        number = number * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = i32::try_from(after.len()).ok()?.checked_mul(4)?;
    let number = number * 2.0_f64.powi(exponent.checked_sub(shift)?);
    number.is_finite().then_some(number)
}

/// Decimal digits of a float without its sign, and the place of the point: `0.DIGITS × 10^point`.
fn shortest(number: f64) -> (String, i32) {
    digits_of(&format!("{number:e}"))
}

fn digits_of(scientific: &str) -> (String, i32) {
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust writes `1.5e3`");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().expect("Rust writes a number there") + 1;
    (digits, point)
}

/// A float by Go's verb `e`, `E`, `f`, `F`, `g`, `G`, `b`, `x` or `X`; without a precision the shortest that reads back
/// the same. It has a sign only when it is negative.
pub(super) fn float_text(number: f64, verb: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let absolute = number.abs();
    if absolute.is_infinite() {
        return if number < 0.0 { "-Inf".to_owned() } else { "+Inf".to_owned() };
    }
    let text = match verb.to_ascii_lowercase() {
        'e' => exponent_form(absolute, precision),
        'f' => match precision {
            Some(precision) => format!("{absolute:.precision$}"),
            None => format!("{absolute}"),
        },
        'b' => binary_form(absolute),
        'x' => hex_form(absolute, precision),
        _ => general_form(absolute, precision),
    };
    let text = if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text };
    format!("{sign}{text}")
}

fn exponent_form(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').expect("Rust writes `1.5e3`");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn general_form(number: f64, precision: Option<usize>) -> String {
    let (digits, point) = match precision {
        None => shortest(number),
        Some(precision) => digits_of(&format!("{number:.*e}", precision.max(1) - 1)),
    };
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let limit = match precision {
        None => 6.max(if count >= point { 0 } else { 6 }),
        Some(precision) => {
            let precision = i32::try_from(precision.max(1)).unwrap_or(i32::MAX);
            if precision > count && count >= point { count } else { precision }
        }
    };
    let limit = if precision.is_none() { 21.min(limit) } else { limit };
    if number != 0.0 && (point - 1 < -4 || point > limit) {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let (sign, exponent) = if point < 1 { ('-', 1 - point) } else { ('+', point - 1) };
        return format!("{first}{dot}{rest}e{sign}{exponent:02}");
    }
    match usize::try_from(point) {
        Err(_) => format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or_default())),
        Ok(0) => {
            if digits.is_empty() {
                "0".to_owned()
            } else {
                format!("0.{digits}")
            }
        }
        Ok(point) if point >= digits.len() => {
            let zeros = "0".repeat(point - digits.len());
            let digits = if digits.is_empty() { "0" } else { digits };
            format!("{digits}{}", if digits == "0" { "" } else { &zeros })
        }
        Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
    }
}

/// `4503599627370496p-52`
fn binary_form(number: f64) -> String {
    let (mantissa, exponent) = parts(number);
    format!("{mantissa}p{exponent:+}")
}

/// Mantissa and binary exponent.
fn parts(number: f64) -> (u64, i64) {
    let bits = number.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or_default();
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// `0x1.8p+03`
fn hex_form(number: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        let zeros = precision.filter(|p| *p > 0).map_or(String::new(), |p| format!(".{}", "0".repeat(p)));
        return format!("0x0{zeros}p+00");
    }
    while mantissa < 1 << 52 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|p| *p < 13) {
        // Rounds half to even.
        let dropped = 52 - 4 * precision;
        let (kept, lost, half) = (mantissa >> dropped, mantissa & ((1 << dropped) - 1), 1_u64 << (dropped - 1));
        let up = lost > half || (lost == half && kept & 1 == 1);
        mantissa = (kept + u64::from(up)) << dropped;
        if mantissa >= 1 << 53 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(precision) if precision <= 13 => digits[..precision].to_owned(),
        Some(precision) => format!("{digits:0<precision$}"),
    };
    let dot = if digits.is_empty() { "" } else { "." };
    let exponent = exponent + 52;
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{dot}{digits}p{sign}{:02}", exponent.unsigned_abs())
}
