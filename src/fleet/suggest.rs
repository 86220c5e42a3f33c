//! What a misspelt word was probably meant to be.

/// A word is suggested when it is at least this alike (0 to 1, by common parts).
const ALIKE: f32 = 0.6;
/// Candidates that are compared at most, for a fleet may have a hundred thousand names.
const COMPARED: usize = 1_000;

/// The candidate most like `word`; case and `_` for `-` count for nothing.
pub(crate) fn closest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    let folded = fold(word);
    let alike = |c: &&str| c.len().abs_diff(word.len()) <= word.len() / 2 + 1;
    let candidates: Vec<(&str, String)> =
        among.into_iter().filter(alike).take(COMPARED).map(|c| (c, fold(c))).collect();
    let texts: Vec<&str> = candidates.iter().map(|(_, f)| f.as_str()).collect();
    let best = similar::get_close_matches(folded.as_str(), &texts, 1, ALIKE);
    let best = best.first()?;
    candidates.iter().find(|(_, f)| f == best).map(|(original, _)| (*original).to_owned())
}

/// Words as a sentence has them: "`a`, `b` and `c`".
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_suggested_and_nothing_else() {
        let drivers = ["generic", "nspawn", "none"];
        for (word, want) in [
            ("generc", Some("generic")),
            ("GENERIC", Some("generic")),
            ("nspwan", Some("nspawn")),
            ("virtualbox", None),
            ("", None),
        ] {
            assert_eq!(closest(word, drivers).as_deref(), want, "{word}");
        }
        assert_eq!(closest("registry_mirrors", ["labels", "registry-mirrors"]).as_deref(), Some("registry-mirrors"));
        assert_eq!(closest("depends-on", ["depends_on"]).as_deref(), Some("depends_on"));
    }

    #[test]
    fn a_list_reads_as_a_sentence() {
        assert_eq!(list([]), "none");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
