//! The functions of templates: Go's own, and docker-machine's `json` and `prettyjson`.

use super::{escape, format, json, value::Value};
use std::cmp::Ordering;

/// What is passed: the value, and whether it came out of a list or map of anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed {
    pub(super) value: Value,
    pub(super) boxed: bool,
}

impl Passed {
    /// A value whose type is known.
    pub(super) fn plain(value: Value) -> Self {
        Self { value, boxed: false }
    }

    /// Without the box. A box with nothing in it is no value.
    pub(super) fn unboxed(self) -> Value {
        match self.value {
            Value::Nil => Value::Absent,
            value => value,
        }
    }

    pub(super) fn type_name(&self) -> String {
        if self.boxed { "interface {}".to_owned() } else { self.value.type_name() }
    }
}

/// A function of this module, and how many arguments it takes: the least, and whether more may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) least: usize,
    pub(super) more: bool,
    pub(super) takes: Takes,
}

/// What a function makes of its arguments before it sees them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// They are passed as they are.
    AsIs,
    /// No value is passed as nil.
    Anything,
    /// The same, but the first must be a text.
    TextFirst,
}

const fn function(name: &'static str, least: usize, more: bool, takes: Takes) -> Function {
    Function { name, least, more, takes }
}

const FUNCTIONS: [Function; 20] = [
    function("and", 1, true, Takes::AsIs),
    function("call", 1, true, Takes::AsIs),
    function("eq", 1, true, Takes::AsIs),
    function("ge", 2, false, Takes::AsIs),
    function("gt", 2, false, Takes::AsIs),
    function("html", 0, true, Takes::Anything),
    function("index", 1, true, Takes::AsIs),
    function("js", 0, true, Takes::Anything),
    function("json", 1, false, Takes::Anything),
    function("le", 2, false, Takes::AsIs),
    function("len", 1, false, Takes::AsIs),
    function("lt", 2, false, Takes::AsIs),
    function("ne", 2, false, Takes::AsIs),
    function("not", 1, false, Takes::AsIs),
    function("or", 1, true, Takes::AsIs),
    function("prettyjson", 1, false, Takes::Anything),
    function("print", 0, true, Takes::Anything),
    function("printf", 1, true, Takes::TextFirst),
    function("println", 0, true, Takes::Anything),
    function("slice", 1, true, Takes::AsIs),
];

const URL_QUERY: Function = function("urlquery", 0, true, Takes::Anything);

/// The function of a name.
pub(super) fn find(name: &str) -> Option<Function> {
    FUNCTIONS.into_iter().chain([URL_QUERY]).find(|function| function.name == name)
}

/// Whether there is one.
pub(super) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// Calls a function other than `and` and `or`, which do not look at all they are given.
pub(super) fn call(name: &str, arguments: Vec<Passed>) -> Result<Passed, String> {
    let values = || arguments.iter().map(|passed| passed.value.clone()).collect::<Vec<_>>();
    let text = |text: String| Ok(Passed::plain(Value::text(text)));
    let truth = |truth: bool| Ok(Passed::plain(Value::Bool(truth)));
    let two = || {
        let mut both = arguments.iter().cloned().map(Passed::unboxed);
        (both.next().unwrap_or_default(), both.next().unwrap_or_default())
    };
    match name {
        "print" => text(format::print(&values())),
        "println" => text(format::println(&values())),
        "printf" => match values().split_first() {
            Some((Value::Text(format), rest)) => text(format::printf(format, rest)),
            _ => Err("printf needs a text".to_owned()),
        },
        "html" => text(escape::html(&joined(values()))),
        "js" => text(escape::js(&joined(values()))),
        "urlquery" => text(escape::url_query(&joined(values()))),
        "json" => text(json::compact(&values()[0])),
        "prettyjson" => text(json::pretty(&values()[0])),
        "not" => truth(!arguments[0].value.truth()),
        "len" => length(&arguments[0].value).map(|length| Passed::plain(Value::Int(length))),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "eq" => equal(arguments).and_then(truth),
        "ne" => equal(arguments).and_then(|equal| truth(!equal)),
        "lt" => two_ordered(two()).and_then(|order| truth(order == Some(Ordering::Less))),
        "ge" => two_ordered(two()).and_then(|order| truth(order != Some(Ordering::Less))),
        "le" => two_ordered(two()).and_then(|order| truth(is_le(order))),
        "gt" => two_ordered(two()).and_then(|order| truth(!is_le(order))),
        _ => match arguments.into_iter().next().map(Passed::unboxed) {
            None | Some(Value::Absent) => Err("call of nil".to_owned()),
            Some(value) => Err(format!("non-function of type {}", value.type_name())),
        },
    }
}

fn is_le(order: Option<Ordering>) -> bool {
    matches!(order, Some(Ordering::Less | Ordering::Equal))
}

/// What is escaped: a lone text as it is, anything else as it prints.
fn joined(values: Vec<Value>) -> String {
    if let [Value::Text(text)] = &values[..] {
        return text.to_string();
    }
    let shown = |value: Value| match value.behind_pointer() {
        Value::Nil | Value::Absent => Value::text("<no value>"),
        value => value,
    };
    format::print(&values.into_iter().map(shown).collect::<Vec<_>>())
}

fn length(value: &Value) -> Result<i64, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil | Value::Pointer(_, None) => return Err("len of nil pointer".to_owned()),
        Value::Absent => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        Value::Pointer(name, Some(_)) => return Err(format!("len of type {name}")),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}

/// A place in a list or text. One past the end is let through, as Go does.
fn place(index: &Passed, length: usize) -> Result<usize, String> {
    let number = match &index.value {
        Value::Absent => return Err("cannot index slice/array with nil".to_owned()),
        Value::Int(number) if !index.boxed => *number,
        Value::Byte(byte) if !index.boxed => i64::from(*byte),
        Value::Named(named) if !index.boxed => named.number,
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name())),
    };
    usize::try_from(number).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {number}"))
}

fn index(arguments: Vec<Passed>) -> Result<Passed, String> {
    let mut arguments = arguments.into_iter();
    let mut item = Passed::plain(arguments.next().map(Passed::unboxed).unwrap_or_default());
    if matches!(item.value, Value::Absent) {
        return Err("index of untyped nil".to_owned());
    }
    for index in arguments {
        let index = Passed::plain(index.unboxed());
        item = match item.value.behind_pointer() {
            Value::Nil | Value::Pointer(_, None) => return Err("index of nil pointer".to_owned()),
            Value::Text(text) => {
                let byte = text.as_bytes().get(place(&index, text.len())?).copied();
                Passed::plain(Value::Byte(byte.ok_or("reflect: string index out of range")?))
            }
            Value::List(list) => {
                let value = list.items.get(place(&index, list.items.len())?).cloned();
                let boxed = list.elements == super::value::Elements::Any;
                Passed { value: value.ok_or("reflect: slice index out of range")?, boxed }
            }
            Value::Map(map) => {
                let key = match &index.value {
                    Value::Text(key) => key.clone(),
                    Value::Absent => return Err("value is nil; should be of type string".to_owned()),
                    other => return Err(format!("value has type {}; should be string", other.type_name())),
                };
                let any = map.elements == super::value::Elements::Any;
                let zero = || if any { Value::Nil } else { Value::text("") };
                Passed { value: map.entries.get(&*key).cloned().unwrap_or_else(zero), boxed: any }
            }
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice(arguments: Vec<Passed>) -> Result<Passed, String> {
    let mut arguments = arguments.into_iter();
    let item = arguments.next().map(Passed::unboxed).unwrap_or_default();
    let places: Vec<Passed> = arguments.collect();
    if matches!(item, Value::Absent) {
        return Err("slice of untyped nil".to_owned());
    }
    if places.len() > 3 {
        return Err(format!("too many slice indexes: {}", places.len()));
    }
    let length = match &item {
        Value::Text(_) if places.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut ends = [0, length, length];
    for (end, given) in ends.iter_mut().zip(&places) {
        *end = place(given, length)?;
    }
    let [from, to, most] = ends;
    for (from, to) in [(from, to), (to, most)] {
        if from > to {
            return Err(format!("invalid slice index: {from} > {to}"));
        }
    }
    Ok(Passed::plain(match item {
        Value::Text(text) => Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to])),
        Value::List(list) => Value::List(std::rc::Rc::new(super::value::List {
            elements: list.elements,
            items: list.items[from..to].to_vec(),
        })),
        other => other,
    }))
}

/// What can be compared: kinds of values, with the values.
#[derive(PartialEq)]
enum Basic {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(std::rc::Rc<str>),
}

fn basic(value: &Value) -> Option<Basic> {
    Some(match value {
        Value::Bool(truth) => Basic::Bool(*truth),
        Value::Int(number) => Basic::Int(*number),
        Value::Named(named) => Basic::Int(named.number),
        Value::Byte(byte) => Basic::Unsigned(u64::from(*byte)),
        Value::Float(number) => Basic::Float(*number),
        Value::Text(text) => Basic::Text(text.clone()),
        _ => return None,
    })
}

const INCOMPATIBLE: &str = "incompatible types for comparison";
const INVALID: &str = "invalid type for comparison";

fn equal(arguments: Vec<Passed>) -> Result<bool, String> {
    let mut arguments = arguments.into_iter().map(Passed::unboxed);
    let first = arguments.next().unwrap_or_default();
    if arguments.len() == 0 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in arguments {
        let same = match (basic(&first), basic(&other)) {
            (Some(Basic::Int(a)), Some(Basic::Unsigned(b))) | (Some(Basic::Unsigned(b)), Some(Basic::Int(a))) => {
                u64::try_from(a) == Ok(b)
            }
            (Some(a), Some(b)) if std::mem::discriminant(&a) == std::mem::discriminant(&b) => a == b,
            (None, None) => same_reference(&first, &other)?,
            _ if matches!(first, Value::Absent) || matches!(other, Value::Absent) => false,
            _ => return Err(INCOMPATIBLE.to_owned()),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same_reference(first: &Value, other: &Value) -> Result<bool, String> {
    let nil = |value: &Value| matches!(value, Value::Absent | Value::Pointer(_, None));
    let show = |value: &Value| format::printf("%s", std::slice::from_ref(value));
    let comparable = nil(first) || nil(other) || std::mem::discriminant(first) == std::mem::discriminant(other);
    if !comparable {
        let (a, b) = (first.type_name(), other.type_name());
        return Err(format!(
            "non-comparable types {}: {a}, {b}: {}",
            show(first),
            format::print(std::slice::from_ref(other))
        ));
    }
    if nil(first) || nil(other) {
        return Ok(nil(first) == nil(other));
    }
    match (first, other) {
        (Value::Pointer(_, Some(a)), Value::Pointer(_, Some(b))) => Ok(std::rc::Rc::ptr_eq(a, b)),
        _ => Err(format!("non-comparable type {}: {}", show(other), other.type_name())),
    }
}

/// The order of two values; `None` when there is none, as of NaN.
fn two_ordered((first, second): (Value, Value)) -> Result<Option<Ordering>, String> {
    let (Some(a), Some(b)) = (basic(&first), basic(&second)) else { return Err(INVALID.to_owned()) };
    Ok(match (a, b) {
        (Basic::Int(a), Basic::Int(b)) => Some(a.cmp(&b)),
        (Basic::Unsigned(a), Basic::Unsigned(b)) => Some(a.cmp(&b)),
        (Basic::Int(a), Basic::Unsigned(b)) => Some(i128::from(a).cmp(&i128::from(b))),
        (Basic::Unsigned(a), Basic::Int(b)) => Some(i128::from(a).cmp(&i128::from(b))),
        (Basic::Float(a), Basic::Float(b)) => a.partial_cmp(&b),
        (Basic::Text(a), Basic::Text(b)) => Some(a.cmp(&b)),
        (Basic::Bool(_), Basic::Bool(_)) => return Err(INVALID.to_owned()),
        _ => return Err(INCOMPATIBLE.to_owned()),
    })
}
