//! `%h` and its like, `~` and `${NAME}` in values.

use std::collections::BTreeMap;

/// What tokens stand for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tokens {
    /// `%h`: where the host is.
    pub host: String,
    /// `%n`: its name as it was asked for.
    pub name: String,
    /// `%p`.
    pub port: u16,
    /// `%r`: whom to log in.
    pub remote_user: String,
    /// `%u`: who asks.
    pub local_user: String,
    /// `%d`, and `~`.
    pub home: String,
    /// Variables, for `${NAME}`.
    pub vars: BTreeMap<String, String>,
}

impl Tokens {
    /// Replaces those of `known` letters, of `dhnpru`; `%%` is `%`. The error says what cannot be replaced.
    pub(in crate::transport) fn expand(&self, text: &str, known: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                expanded.push(c);
                continue;
            }
            let Some(letter) = chars.next() else { return Err("it ends with `%`; write `%%`".to_owned()) };
            match letter {
                '%' => expanded.push('%'),
                letter if !known.contains(letter) => return Err(format!("`%{letter}` is not known here")),
                'd' => expanded.push_str(&self.home),
                'h' => expanded.push_str(&self.host),
                'n' => expanded.push_str(&self.name),
                'p' => expanded.push_str(&self.port.to_string()),
                'r' => expanded.push_str(&self.remote_user),
                'u' => expanded.push_str(&self.local_user),
                letter => return Err(format!("`%{letter}` is not known here")),
            }
        }
        Ok(expanded)
    }

    /// A path: `~/`, variables and tokens replaced.
    ///
    /// # Errors
    /// Says which token or variable means nothing.
    pub fn path(&self, text: &str) -> Result<String, String> {
        let text = match text.strip_prefix("~/") {
            Some(rest) => format!("{}/{rest}", self.home.trim_end_matches('/').replace('%', "%%")),
            None if text == "~" => self.home.replace('%', "%%"),
            None => text.to_owned(),
        };
        let text = self.variables(&text)?;
        self.expand(&text, "dhnpru")
    }

    fn variables(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("`${` is not closed")?;
            let value = self.vars.get(name).ok_or_else(|| format!("the variable `{name}` is not set"))?;
            expanded.push_str(before);
            expanded.push_str(&value.replace('%', "%%"));
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_variables_and_the_home_directory_are_replaced() {
        let tokens = Tokens {
            host: "10.0.0.1".into(),
            name: "web".into(),
            port: 2222,
            remote_user: "root".into(),
            local_user: "me".into(),
            home: "/home/100%".into(),
            vars: [("A".to_owned(), "%h".to_owned())].into(),
        };
        assert_eq!(tokens.path("~/.ssh/%r@%h:%p-%n-%u%%").unwrap(), "/home/100%/.ssh/root@10.0.0.1:2222-web-me%");
        assert_eq!(tokens.path("%d/${A}/x").unwrap(), "/home/100%/%h/x");
        for wrong in ["%", "%x", "${A", "${B}"] {
            assert!(tokens.path(wrong).is_err(), "{wrong}");
        }
        assert!(tokens.expand("%r", "h").is_err());
    }
}
