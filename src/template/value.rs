//! What a template works on: Go's values, as far as templates over JSON and over rows of `ls` can meet them.

use std::{collections::BTreeMap, rc::Rc};

/// A value.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value at all, as of a key that a map does not have.
    #[default]
    Absent,
    /// JSON's `null`.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number of a template.
    Int(i64),
    /// A byte of a text.
    Byte(u8),
    /// Every number of JSON.
    Float(f64),
    /// A text.
    Text(Rc<str>),
    /// A list.
    List(Rc<List>),
    /// A map, sorted by its keys.
    Map(Rc<Map>),
    /// A structure: asking for a field it does not have is an error.
    Record(Rc<Record>),
    /// A pointer to a structure, `None` for the nil pointer.
    Pointer(&'static str, Option<Rc<Record>>),
    /// A number that prints as a word.
    Named(Rc<Named>),
}

/// What the elements of a list or a map are declared to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Elements {
    /// Anything.
    Any,
    /// Texts.
    Text,
}

impl Elements {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
        }
    }
}

/// Values in a row.
#[derive(Clone, Debug)]
pub struct List {
    /// What they are declared to be.
    pub elements: Elements,
    /// The values.
    pub items: Vec<Value>,
}

/// Values by key.
#[derive(Clone, Debug)]
pub struct Map {
    /// What they are declared to be.
    pub elements: Elements,
    /// The values.
    pub entries: BTreeMap<String, Value>,
}

/// Values by field.
#[derive(Clone, Debug)]
pub struct Record {
    /// Name of the type, as errors have it.
    pub name: &'static str,
    /// The fields, in the order they are declared.
    pub fields: Vec<(&'static str, Value)>,
}

/// A number with a word for it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Name of the type, as errors have it.
    pub name: &'static str,
    /// The number.
    pub number: i64,
    /// The word.
    pub text: String,
    /// What its other methods answer; all have `String`.
    pub methods: Vec<(&'static str, Value)>,
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Rc::from(text.as_ref()))
    }

    /// A list of texts.
    #[must_use]
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let items = texts.into_iter().map(Self::text).collect();
        Self::List(Rc::new(List { elements: Elements::Text, items }))
    }

    /// A map from texts to texts.
    #[must_use]
    pub fn text_map<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), Self::text(value))).collect();
        Self::Map(Rc::new(Map { elements: Elements::Text, entries }))
    }

    /// A structure.
    #[must_use]
    pub fn record(name: &'static str, fields: Vec<(&'static str, Self)>) -> Self {
        Self::Record(Rc::new(Record { name, fields }))
    }

    /// A pointer to a structure.
    #[must_use]
    pub fn pointer(name: &'static str, fields: Option<Vec<(&'static str, Self)>>) -> Self {
        Self::Pointer(name, fields.map(|fields| Rc::new(Record { name, fields })))
    }

    /// What Go calls its type.
    #[must_use]
    pub fn type_name(&self) -> String {
        match self {
            Self::Absent | Self::Nil => "interface {}".to_owned(),
            Self::Bool(_) => "bool".to_owned(),
            Self::Int(_) => "int".to_owned(),
            Self::Byte(_) => "uint8".to_owned(),
            Self::Float(_) => "float64".to_owned(),
            Self::Text(_) => "string".to_owned(),
            Self::List(list) => format!("[]{}", list.elements.name()),
            Self::Map(map) => format!("map[string]{}", map.elements.name()),
            Self::Record(record) => record.name.to_owned(),
            Self::Pointer(name, _) => format!("*{name}"),
            Self::Named(named) => named.name.to_owned(),
        }
    }

    /// Whether `if` takes it for true: not the zero of its type.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Self::Absent | Self::Nil | Self::Pointer(_, None) => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Byte(byte) => *byte != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Record(_) | Self::Pointer(_, Some(_)) => true,
            Self::Named(named) => named.number != 0,
        }
    }

    /// What a pointer points to; anything else as it is.
    #[must_use]
    pub fn behind_pointer(self) -> Self {
        match self {
            Self::Pointer(_, Some(record)) => Self::Record(record),
            other => other,
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Self::Nil,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::text(text),
            Json::Array(items) => {
                let items = items.iter().map(Self::from).collect();
                Self::List(Rc::new(List { elements: Elements::Any, items }))
            }
            Json::Object(fields) => {
                let entries = fields.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect();
                Self::Map(Rc::new(Map { elements: Elements::Any, entries }))
            }
        }
    }
}
