//! An answer of the API, as a tree of elements.
//!
//! Answers have no attributes that matter and no mixed content, so an element is a name with either text or children.

use quick_xml::{Reader, events::Event};

/// How deep an answer may nest; EC2's do to about ten.
const DEEPEST: usize = 64;

/// One element.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document; says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        // The first stands for the document.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|e| e.to_string())? {
                Event::Start(tag) => {
                    if open.len() > DEEPEST {
                        return Err("it nests too deeply".to_owned());
                    }
                    let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(tag) => {
                    let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                    top(&mut open).children.push(Self { name, ..Self::default() });
                }
                Event::End(_) => {
                    // The reader has seen that it ends what was begun.
                    let mut done = open.pop().unwrap_or_default();
                    if done.children.is_empty() {
                        done.text = String::from(done.text.trim());
                    } else {
                        done.text.clear();
                    }
                    top(&mut open).children.push(done);
                }
                Event::Text(part) => top(&mut open).text.push_str(&part.decode().map_err(|e| e.to_string())?),
                Event::CData(part) => top(&mut open).text.push_str(&part.decode().map_err(|e| e.to_string())?),
                Event::GeneralRef(name) => {
                    let one = if let Some(c) = name.resolve_char_ref().map_err(|e| e.to_string())? {
                        c.to_string()
                    } else {
                        let name = name.decode().map_err(|e| e.to_string())?;
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or_else(|| format!("`&{name};` means nothing"))?.to_owned()
                    };
                    top(&mut open).text.push_str(&one);
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        let mut document = open.pop().unwrap_or_default();
        match document.children.pop() {
            Some(root) if open.is_empty() => Ok(root),
            Some(_) => Err("it ends too early".to_owned()),
            None => Err("there is nothing in it".to_owned()),
        }
    }

    /// The first element that the names lead to, as `instanceState/name`.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |here, name| here.children.iter().find(|child| child.name == name))
    }

    /// The text of [`Self::at`]; empty when there is none.
    pub(super) fn text(&self, path: &str) -> &str {
        self.at(path).map_or("", |found| found.text.as_str())
    }

    /// The members of a list, as `instancesSet`, whose members are called `item`.
    pub(super) fn items(&self, path: &str) -> impl Iterator<Item = &Self> {
        self.at(path).into_iter().flat_map(|list| list.children.iter()).filter(|child| child.name == "item")
    }

    /// Its own text.
    pub(super) fn own(&self) -> &str {
        &self.text
    }

    /// Its tags, from `tagSet`.
    pub(super) fn tag(&self, key: &str) -> Option<&str> {
        self.items("tagSet").find(|tag| tag.text("key") == key).map(|tag| tag.text("value"))
    }
}

fn top(open: &mut [Element]) -> &mut Element {
    open.last_mut().expect("the document itself is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "<?xml version=\"1.0\"?>\n<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n  \
        <reservationSet>\n <item><instancesSet>\n<item><instanceId>i-1</instanceId><instanceState><code>16</code>\
        <name>running</name></instanceState><reason/><tagSet><item><key>Name</key><value>a &amp;&#x20;b &lt;c&gt;</value></item>\
        </tagSet></item><item><instanceId>i-2</instanceId></item></instancesSet></item></reservationSet>\
        </DescribeInstancesResponse>";

    #[test]
    fn lists_and_texts_are_found_by_their_path() {
        let answer = Element::parse(ANSWER).unwrap();
        assert_eq!(answer.name, "DescribeInstancesResponse");
        let instances: Vec<_> =
            answer.items("reservationSet").flat_map(|reservation| reservation.items("instancesSet")).collect();
        assert_eq!(instances.iter().map(|i| i.text("instanceId")).collect::<Vec<_>>(), ["i-1", "i-2"]);
        assert_eq!(instances[0].text("instanceState/name"), "running");
        assert_eq!(instances[0].tag("Name"), Some("a & b <c>"));
        assert_eq!(instances[1].tag("Name"), None);
        assert_eq!((instances[0].text("reason"), instances[0].text("no/such")), ("", ""));
        assert_eq!(instances[0].at("instanceId").unwrap().own(), "i-1");
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_no_panic() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        for text in ["", "hello", "<a>", "<a></b>", "</a>", "<a>&nothing;</a>", "<a>&#xFFFFFFFF;</a>", deep.as_str()] {
            assert!(Element::parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
        for end in 0..ANSWER.len() {
            let _ = Element::parse(&ANSWER[..end]);
        }
    }
}
