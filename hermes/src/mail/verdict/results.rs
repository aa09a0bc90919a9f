//! The Authentication-Results field (RFC 8601, section 2.2), as servers really write it: comments left out, quoted strings
//! as one word, and properties that SES puts behind a semicolon taken to what they belong to.

/// The most findings that are read.
const MAX_METHODS: usize = 50;

/// What one server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Results {
    /// Which server.
    pub(super) authserv_id: String,
    methods: Vec<Method>,
}

/// One finding, such as `dkim=pass header.d=example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    name: String,
    /// In lower case.
    pub(super) result: String,
    properties: Vec<(String, String)>,
}

impl Method {
    /// The value of a property such as `header.d`; one that stands twice has none.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        let mut found = self.properties.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = found.next()?;
        found.next().is_none().then_some(value.as_str())
    }
}

impl Results {
    /// Reads a field's value; none when it breaks the grammar, so that no half of it is believed.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let words = words(value)?;
        let mut sections = words.split(|word| *word == Word::Semicolon);
        let Some(Word::Text(authserv_id)) = sections.next()?.first() else { return None };
        let mut results = Self { authserv_id: authserv_id.clone(), methods: Vec::new() };
        for section in sections.filter(|section| !section.is_empty()).take(MAX_METHODS) {
            results.take(section)?;
        }
        Some(results)
    }

    /// The findings of one method.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Method> {
        self.methods.iter().filter(move |method| method.name == name)
    }

    fn take(&mut self, section: &[Word]) -> Option<()> {
        let mut pairs = section.iter().filter_map(|word| match word {
            Word::Text(text) => Some(text.split_once('=')),
            Word::Semicolon => None,
        });
        let Some((name, result)) = pairs.next()? else {
            // `none`: nothing was looked at.
            return section.first().filter(|word| **word == Word::Text("none".into())).map(|_| ());
        };
        let rest = pairs.flatten().map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()));
        let name = name.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(name.as_str(), "client-ip" | "envelope-from" | "helo") {
            let belongs_to = self.methods.last_mut()?;
            belongs_to.properties.push((name, result.to_owned()));
            belongs_to.properties.extend(rest);
        } else {
            self.methods.push(Method {
                name,
                result: result.to_ascii_lowercase(),
                properties: rest.collect(),
            });
        }
        Some(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Text(String),
    Semicolon,
}

/// Words and semicolons. `a = b` and `a=b` are the same; a quoted string joins the word it stands in, and one with a
/// semicolon or an equals sign in it is refused, since not every server quotes what it repeats.
fn words(value: &str) -> Option<Vec<Word>> {
    let mut words: Vec<Word> = Vec::new();
    let mut word = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '(' => skip_comment(&mut rest)?,
            '"' => quoted(&mut rest, &mut word)?,
            ';' => {
                flush(&mut words, &mut word);
                words.push(Word::Semicolon);
            }
            c if c.is_whitespace() => flush(&mut words, &mut word),
            c => word.push(c),
        }
    }
    flush(&mut words, &mut word);
    Some(words)
}

/// Ends a word; one that begins with, or follows, an equals sign goes on with the word before.
fn flush(words: &mut Vec<Word>, word: &mut String) {
    if word.is_empty() {
        return;
    }
    let next = std::mem::take(word);
    match words.last_mut() {
        Some(Word::Text(before)) if before.ends_with('=') || next.starts_with('=') => before.push_str(&next),
        _ => words.push(Word::Text(next)),
    }
}

/// Comments may hold comments (RFC 5322, section 3.2.2).
fn skip_comment(rest: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match rest.next()? {
            '\\' => {
                rest.next()?;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

fn quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '\\' => word.push(rest.next()?),
            ';' | '=' => return None,
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(value: &str, method: &str, name: &str) -> Option<String> {
        let results = Results::parse(value)?;
        results.of(method).next()?.property(name).map(str::to_owned)
    }

    #[test]
    fn findings_of_well_known_servers_are_read() {
        let google = "mx.google.com; dkim=pass header.i=@example.org header.s=s1 header.b=\"abc/d\"; spf=pass (google.com: domain of a@example.org designates 1.2.3.4 as permitted sender) smtp.mailfrom=a@example.org; dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.org";
        assert_eq!(property(google, "dmarc", "header.from").unwrap(), "example.org");
        assert_eq!(property(google, "spf", "smtp.mailfrom").unwrap(), "a@example.org");
        let spaced = "mx 1; dkim = pass (2048-bit (rsa) key) header.d = example.org";
        assert_eq!(property(spaced, "dkim", "header.d").unwrap(), "example.org");
        let ses = "amazonses.com; spf=pass (x) client-ip=1.2.3.4; envelope-from=a@example.org; helo=h; dkim=pass header.i=@example.org";
        assert_eq!(property(ses, "spf", "envelope-from").unwrap(), "a@example.org");
        assert_eq!(Results::parse("mx; none").unwrap().authserv_id, "mx");
    }

    #[test]
    fn comments_say_nothing() {
        let value = "mx; dmarc=fail (dmarc=pass header.from=a.org; \\) dmarc=pass) header.from=b.org";
        let results = Results::parse(value).unwrap();
        assert_eq!(results.of("dmarc").count(), 1);
        assert_eq!(property(value, "dmarc", "header.from").unwrap(), "b.org");
    }

    #[test]
    fn what_breaks_the_grammar_is_not_believed_in_part() {
        for value in [
            "",
            ";",
            "mx; dmarc=pass (open",
            "mx; spf=pass smtp.mailfrom=\"a; dmarc=pass header.from=b.org\"@c.org",
            "mx; spf=pass smtp.mailfrom=\"open",
            "mx; anything",
            "mx; envelope-from=a@b.c",
        ] {
            assert_eq!(Results::parse(value), None, "{value}");
        }
        assert_eq!(
            property("mx; dmarc=pass header.from=a.org header.from=b.org", "dmarc", "header.from"),
            None
        );
    }
}
