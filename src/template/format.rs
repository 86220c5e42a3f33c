//! Go's `fmt`: `printf` with its verbs, and how values print.

use super::{
    escape::{is_print, quote},
    number::float_text,
    value::{Record, Value},
};

/// The widest that Go pads to.
const WIDEST: usize = 1_000_000;

/// As `fmt.Sprint`: a blank between neighbours of which neither is a text.
pub(super) fn print(values: &[Value]) -> String {
    let mut printer = Printer::default();
    for (n, value) in values.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Text(_));
        if n > 0 && !text(value) && !text(&values[n - 1]) {
            printer.out.push(' ');
        }
        printer.value(value, 'v', 0);
    }
    printer.out
}

/// As `fmt.Sprintln`.
pub(super) fn println(values: &[Value]) -> String {
    let mut printer = Printer::default();
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            printer.out.push(' ');
        }
        printer.value(value, 'v', 0);
    }
    printer.out + "\n"
}

/// As `fmt.Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut printer = Printer::default();
    let mut place = Place { values, next: 0, good: true, reordered: false };
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        printer.out.push_str(before);
        rest = printer.directive(after, &mut place);
    }
    printer.out.push_str(rest);
    printer.flags = Flags::default();
    if !place.reordered && place.next < values.len() {
        printer.out.push_str("%!(EXTRA ");
        for (n, value) in values[place.next..].iter().enumerate() {
            if n > 0 {
                printer.out.push_str(", ");
            }
            printer.with_type(value);
        }
        printer.out.push(')');
    }
    printer.out
}

/// How a directive asks for a value to be printed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed or not")]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`
    fields: bool,
    /// `%#v`
    syntax: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Which value comes next.
struct Place<'v> {
    values: &'v [Value],
    next: usize,
    good: bool,
    reordered: bool,
}

impl<'v> Place<'v> {
    /// Reads `[2]`. Whether there was one.
    fn index<'f>(&mut self, rest: &'f str) -> (bool, &'f str) {
        let Some(inside) = rest.strip_prefix('[') else { return (false, rest) };
        self.reordered = true;
        let Some((number, after)) = inside.split_once(']') else {
            self.good = false;
            return (false, inside);
        };
        match number.parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.values.len() && number.bytes().all(|b| b.is_ascii_digit()) => {
                self.next = n - 1;
                (true, after)
            }
            _ => {
                self.good = false;
                (true, after)
            }
        }
    }

    /// The value of a `*`.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Byte(byte) => i64::from(*byte),
            Value::Named(named) => named.number,
            _ => return None,
        };
        (number.unsigned_abs() <= WIDEST as u64).then_some(number)
    }

    fn take(&mut self) -> Option<&'v Value> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some(value)
    }
}

/// Digits, and what follows; `Err` when the number is absurd.
fn number(text: &str) -> Result<(Option<usize>, &str), ()> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return Ok((None, text));
    }
    match text[..length].parse() {
        Ok(number) if number <= WIDEST => Ok((Some(number), &text[length..])),
        _ => Err(()),
    }
}

#[derive(Debug, Default)]
struct Printer {
    out: String,
    flags: Flags,
    /// Set while a value is shown because its verb was wrong: its own words are not asked then.
    erroring: bool,
}

impl Printer {
    /// Prints for what stands after a `%`; returns what is left.
    fn directive<'f>(&mut self, format: &'f str, place: &mut Place<'_>) -> &'f str {
        self.flags = Flags::default();
        place.good = true;
        let mut rest = format;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '#' => self.flags.sharp = true,
                '0' => self.flags.zero = !self.flags.minus,
                '+' => self.flags.plus = true,
                '-' => (self.flags.minus, self.flags.zero) = (true, false),
                ' ' => self.flags.space = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let Some(rest) = self.sizes(rest, place) else {
            self.out.push_str("%!(NOVERB)");
            return "";
        };
        let mut chars = rest.chars();
        let Some(verb) = chars.next() else {
            self.out.push_str("%!(NOVERB)");
            return "";
        };
        if verb == '%' {
            self.out.push('%');
        } else if !place.good {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(value) = place.take() {
            if verb == 'v' {
                self.flags.syntax = std::mem::take(&mut self.flags.sharp);
                self.flags.fields = std::mem::take(&mut self.flags.plus);
            }
            self.value(value, verb, 0);
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        chars.as_str()
    }

    /// Width and precision; `None` when a number is absurd.
    fn sizes<'f>(&mut self, rest: &'f str, place: &mut Place<'_>) -> Option<&'f str> {
        let (mut indexed, mut rest) = place.index(rest);
        if let Some(after) = rest.strip_prefix('*') {
            match place.star() {
                Some(width) => {
                    self.flags.width = usize::try_from(width.unsigned_abs()).ok();
                    if width < 0 {
                        (self.flags.minus, self.flags.zero) = (true, false);
                    }
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            (indexed, rest) = (false, after);
        } else {
            (self.flags.width, rest) = number(rest).ok()?;
            if indexed && self.flags.width.is_some() {
                place.good = false;
            }
        }
        if let Some(after) = rest.strip_prefix('.') {
            if indexed {
                place.good = false;
            }
            (indexed, rest) = place.index(after);
            if let Some(after) = rest.strip_prefix('*') {
                match place.star() {
                    Some(precision) if precision >= 0 => self.flags.precision = usize::try_from(precision).ok(),
                    Some(_) => {}
                    None => self.out.push_str("%!(BADPREC)"),
                }
                (indexed, rest) = (false, after);
            } else {
                let precision;
                (precision, rest) = number(rest).ok()?;
                self.flags.precision = Some(precision.unwrap_or(0));
            }
        }
        if !indexed {
            (_, rest) = place.index(rest);
        }
        Some(rest)
    }

    /// Fills up to the width.
    fn pad(&mut self, text: &str) {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if self.flags.zero { '0' } else { ' ' };
        if !self.flags.minus {
            self.out.extend(std::iter::repeat_n(fill, missing));
        }
        self.out.push_str(text);
        if self.flags.minus {
            self.out.extend(std::iter::repeat_n(fill, missing));
        }
    }

    /// `%!d(string=hi)`
    fn bad(&mut self, value: &Value, verb: char) {
        self.out.push_str(&format!("%!{verb}("));
        let before = std::mem::replace(&mut self.erroring, true);
        self.with_type(value);
        self.erroring = before;
        self.out.push(')');
    }

    fn with_type(&mut self, value: &Value) {
        match value {
            Value::Nil | Value::Absent => self.out.push_str("<nil>"),
            value => {
                self.out.push_str(&value.type_name());
                self.out.push('=');
                self.value(value, 'v', 0);
            }
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if verb == 'T' && depth == 0 {
            let name = match value {
                Value::Nil | Value::Absent => "<nil>".to_owned(),
                value => value.type_name(),
            };
            return self.text(&Value::text(&name), &name, 's');
        }
        match value {
            Value::Nil | Value::Absent if depth > 0 && self.flags.syntax => self.out.push_str("interface {}(nil)"),
            Value::Nil | Value::Absent if depth > 0 => self.out.push_str("<nil>"),
            Value::Nil | Value::Absent | Value::Pointer(_, None) if verb == 'v' => self.pad("<nil>"),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(if *truth { "true" } else { "false" }),
            Value::Nil | Value::Absent | Value::Bool(_) => self.bad(value, verb),
            Value::Int(number) => self.int(value, *number, verb),
            Value::Byte(byte) if self.flags.syntax && verb == 'v' => self.out.push_str(&format!("{byte:#x}")),
            Value::Byte(byte) => self.int(value, i64::from(*byte), verb),
            Value::Float(number) => self.float(value, *number, verb),
            Value::Text(text) => self.text(value, text, verb),
            Value::Named(named)
                if matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') && !self.erroring && !self.flags.syntax =>
            {
                self.text(value, &named.text, verb);
            }
            Value::Named(named) => self.int(value, named.number, verb),
            Value::List(list) => {
                let (open, close) =
                    if self.flags.syntax { (value.type_name() + "{", '}') } else { ("[".to_owned(), ']') };
                self.out.push_str(&open);
                for (n, item) in list.items.iter().enumerate() {
                    self.between(n);
                    self.value(item, verb, depth + 1);
                }
                self.out.push(close);
            }
            Value::Map(map) => {
                let open = if self.flags.syntax { value.type_name() + "{" } else { "map[".to_owned() };
                self.out.push_str(&open);
                for (n, (key, item)) in map.entries.iter().enumerate() {
                    self.between(n);
                    self.text(&Value::text(key), key, verb);
                    self.out.push(':');
                    self.value(item, verb, depth + 1);
                }
                self.out.push(if self.flags.syntax { '}' } else { ']' });
            }
            Value::Record(record) => self.record(record, verb, depth),
            Value::Pointer(_, Some(record)) if depth == 0 => {
                self.out.push('&');
                self.record(record, verb, depth + 1);
            }
            // Where a structure lies in memory is of no use.
            Value::Pointer(_, Some(_)) => self.pad("0xc000000000"),
            Value::Pointer(name, None) => self.out.push_str(&format!("%!{verb}(*{name}=<nil>)")),
        }
    }

    fn between(&mut self, n: usize) {
        if n > 0 {
            self.out.push_str(if self.flags.syntax { ", " } else { " " });
        }
    }

    fn record(&mut self, record: &Record, verb: char, depth: usize) {
        if self.flags.syntax {
            self.out.push_str(record.name);
        }
        self.out.push('{');
        for (n, (name, value)) in record.fields.iter().enumerate() {
            self.between(n);
            if self.flags.fields || self.flags.syntax {
                self.out.push_str(name);
                self.out.push(':');
            }
            self.value(value, verb, depth + 1);
        }
        self.out.push('}');
    }

    fn text(&mut self, value: &Value, text: &str, verb: char) {
        let cut = |text: &str| match self.flags.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        match verb {
            'v' if self.flags.syntax => self.pad(&quote(&cut(text), '"', false)),
            'v' | 's' => self.pad(&cut(text)),
            'q' => {
                let text = cut(text);
                let raw = text.chars().all(|c| c == '\t' || (!c.is_control() && c != '`' && c != '\u{feff}'));
                if self.flags.sharp && raw {
                    self.pad(&format!("`{text}`"));
                } else {
                    self.pad(&quote(&text, '"', self.flags.plus));
                }
            }
            'x' | 'X' => {
                let bytes = text.as_bytes();
                let bytes = &bytes[..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
                let hex = |byte: &u8| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                let mark = if self.flags.sharp { format!("0{verb}") } else { String::new() };
                let parts: Vec<String> = bytes.iter().map(hex).collect();
                let joined = match self.flags.space {
                    true if self.flags.sharp => {
                        parts.iter().map(|p| format!("{mark}{p}")).collect::<Vec<_>>().join(" ")
                    }
                    true => parts.join(" "),
                    false if parts.is_empty() => String::new(),
                    false => format!("{mark}{}", parts.concat()),
                };
                // Go pads these with the same sign as the rest.
                self.pad(&joined);
            }
            _ => self.bad(value, verb),
        }
    }

    fn int(&mut self, value: &Value, number: i64, verb: char) {
        match verb {
            'v' | 'd' => self.digits(number, 10, verb),
            'b' => self.digits(number, 2, verb),
            'o' | 'O' => self.digits(number, 8, verb),
            'x' | 'X' => self.digits(number, 16, verb),
            'c' | 'q' | 'U' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32);
                match verb {
                    'c' => self.pad(&c.unwrap_or('\u{fffd}').to_string()),
                    'q' => self.pad(&quote(&c.unwrap_or('\u{fffd}').to_string(), '\'', self.flags.plus)),
                    _ => {
                        let width = self.flags.precision.filter(|p| *p > 4).unwrap_or(4);
                        let code = format!("U+{number:0width$X}");
                        let shown = c.filter(|c| self.flags.sharp && is_print(*c));
                        let zero = std::mem::take(&mut self.flags.zero);
                        self.pad(&shown.map_or(code.clone(), |c| format!("{code} '{c}'")));
                        self.flags.zero = zero;
                    }
                }
            }
            _ => self.bad(value, verb),
        }
    }

    fn digits(&mut self, number: i64, base: u32, verb: char) {
        let positive = number.unsigned_abs();
        let mut text = match (base, verb) {
            (2, _) => format!("{positive:b}"),
            (8, _) => format!("{positive:o}"),
            (16, 'X') => format!("{positive:X}"),
            (16, _) => format!("{positive:x}"),
            _ => positive.to_string(),
        };
        let signed = number < 0 || self.flags.plus || self.flags.space;
        let mut least = self.flags.precision.unwrap_or(0);
        if self.flags.precision == Some(0) && number == 0 {
            let zero = std::mem::take(&mut self.flags.zero);
            self.pad("");
            self.flags.zero = zero;
            return;
        }
        if self.flags.precision.is_none() && self.flags.zero {
            least = self.flags.width.unwrap_or(0).saturating_sub(usize::from(signed));
        }
        text = format!("{text:0>least$}");
        if self.flags.sharp {
            match base {
                2 => text.insert_str(0, "0b"),
                8 if !text.starts_with('0') => text.insert(0, '0'),
                16 => text.insert_str(0, if verb == 'X' { "0X" } else { "0x" }),
                _ => {}
            }
        }
        if verb == 'O' {
            text.insert_str(0, "0o");
        }
        if number < 0 {
            text.insert(0, '-');
        } else if self.flags.plus {
            text.insert(0, '+');
        } else if self.flags.space {
            text.insert(0, ' ');
        }
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(&text);
        self.flags.zero = zero;
    }

    fn float(&mut self, value: &Value, number: f64, verb: char) {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'g' | 'G' | 'b' | 'x' | 'X' => (verb, None),
            'e' | 'E' | 'f' | 'F' => (verb, Some(6)),
            _ => return self.bad(value, verb),
        };
        let mut text = float_text(number, verb, self.flags.precision.or(precision));
        let sign = match text.chars().next() {
            Some(sign @ ('-' | '+')) => {
                text.remove(0);
                sign
            }
            _ => '+',
        };
        let sign = match sign {
            '-' => "-",
            _ if self.flags.plus => "+",
            _ if self.flags.space => " ",
            // Infinity has its sign where none was asked for, too.
            _ if number.is_infinite() => "+",
            _ => "",
        };
        if !number.is_finite() {
            self.flags.zero = false;
        }
        if self.flags.zero {
            let width = self.flags.width.unwrap_or(0).saturating_sub(sign.len());
            self.out.push_str(&format!("{sign}{text:0>width$}"));
        } else {
            self.pad(&format!("{sign}{text}"));
        }
    }
}
