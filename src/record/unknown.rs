//! What a record holds that this program does not know: fields that a later version wrote, at any depth. They stay where
//! they are while what they are in stays.
//!
//! Nothing here knows any field. What is unknown of an old text is what is in it and not in the encoding of all that was
//! understood of it. Inside of lists nothing is unknown: they hold texts, values that are kept whole, and hooks, of
//! which none is read that has more to it than is known.

use serde_json::{Map, Value};

/// What is kept, by the field it is in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unknown(Map<String, Value>);

impl Unknown {
    /// What of `old` is not in `known`, the encoding of all that was understood of it.
    pub(super) fn between(old: &Value, known: &Value) -> Self {
        let (Value::Object(old), Value::Object(known)) = (old, known) else { return Self::default() };
        Self(difference(old, known))
    }

    /// Whether all was known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without what is in the field of this name: that describes something else by now.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        self.0.shift_remove(field);
        self
    }

    /// Puts it back into an encoding. What that says itself counts; what is gone from it takes with it what was in it.
    pub(super) fn lay_over(&self, new: &mut Value) {
        if let Value::Object(new) = new {
            lay(&self.0, new);
        }
    }
}

fn difference(old: &Map<String, Value>, known: &Map<String, Value>) -> Map<String, Value> {
    let mut unknown = Map::new();
    for (key, value) in old {
        match (value, known.get(key)) {
            (value, None) => drop(unknown.insert(key.clone(), value.clone())),
            (Value::Object(value), Some(Value::Object(known))) => {
                let inside = difference(value, known);
                if !inside.is_empty() {
                    unknown.insert(key.clone(), Value::Object(inside));
                }
            }
            _ => {}
        }
    }
    unknown
}

fn lay(unknown: &Map<String, Value>, new: &mut Map<String, Value>) {
    for (key, value) in unknown {
        match (value, new.get_mut(key)) {
            (value, None) => drop(new.insert(key.clone(), value.clone())),
            (Value::Object(value), Some(Value::Object(new))) => lay(value, new),
            // An encoding names all fields it knows: null is what it says of one that is not there.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn kept(old: &Value, known: &Value, new: &Value, want: &Value) {
        let mut laid = new.clone();
        Unknown::between(old, known).lay_over(&mut laid);
        assert_eq!(laid, *want);
    }

    #[test]
    fn what_is_unknown_stays_while_what_it_is_in_stays() {
        let known = json!({ "a": { "b": 1 }, "c": null });
        let old = json!({ "a": { "b": 1, "x": [1] }, "c": null, "y": { "z": 2 } });
        kept(
            &old,
            &known,
            &json!({ "a": { "b": 2 }, "c": 3 }),
            &json!({ "a": { "b": 2, "x": [1] }, "c": 3, "y": { "z": 2 } }),
        );
        kept(&old, &known, &json!({ "a": null, "c": null }), &json!({ "a": null, "c": null, "y": { "z": 2 } }));
    }

    #[test]
    fn what_is_known_counts_and_is_not_kept_twice() {
        kept(
            &json!({ "a": 1, "m": { "k": 1 } }),
            &json!({ "a": 1, "m": { "k": 1 } }),
            &json!({ "a": 2, "m": {} }),
            &json!({ "a": 2, "m": {} }),
        );
        assert!(Unknown::between(&json!({ "a": 1 }), &json!({ "a": 1, "b": null })).is_empty());
    }
}
