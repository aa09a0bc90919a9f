//! Where the pages of a site lead: their links as they stand in the HTML, and the page of the same site that each means.

use std::collections::BTreeSet;

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use percent_encoding::percent_decode_str;
use url::Url;

/// Stands for the site's own address.
const HOME: &str = "http://site.invalid/";
/// Which attribute of which element leads to another file.
const LEADING: [(&[u8], &[u8]); 9] = [
    (b"a", b"href"),
    (b"area", b"href"),
    (b"link", b"href"),
    (b"img", b"src"),
    (b"script", b"src"),
    (b"source", b"src"),
    (b"video", b"src"),
    (b"audio", b"src"),
    (b"iframe", b"src"),
];

/// The paths on the same site (no leading '/') to which a page leads.
pub(super) fn internal(page: &str, html: &[u8]) -> BTreeSet<String> {
    let Some(base) = Url::parse(HOME).ok().and_then(|home| home.join(page).ok()) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    let mut emitter = DefaultEmitter::default();
    // What stands in scripts and styles is no element.
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        let Token::StartTag(tag) = token else { continue };
        for (element, attribute) in LEADING {
            if &tag.name[..] != element {
                continue;
            }
            let value = tag.attributes.iter().find(|(name, _)| &name[..] == attribute);
            let text = value.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            found.extend(text.and_then(|text| path_of(&base, text.trim())));
        }
    }
    found
}

fn path_of(base: &Url, link: &str) -> Option<String> {
    if link.is_empty() || link.starts_with('#') {
        return None;
    }
    let url = base.join(link).ok().filter(|url| url.host_str() == base.host_str())?;
    let path = url.path().trim_start_matches('/');
    Some(percent_decode_str(path).decode_utf8().ok()?.into_owned())
}

/// The files of which one has to be there for a path, in the order in which they are served.
pub(super) fn candidates(path: &str) -> Vec<String> {
    match path {
        "" => vec!["index.html".to_owned()],
        folder if folder.ends_with('/') => vec![format!("{folder}index.html")],
        file => vec![file.to_owned(), format!("{file}/index.html"), format!("{file}.html")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_same_site_are_found_whatever_their_form() {
        let html = br##"<!-- <a href="/commented"> --><a href=/about/>x</a><A HREF='../bread?x=1#y'>y</A>
            <img src="/images/L%C3%B6we.svg"><link rel=stylesheet href="style.css"><a href="#top"></a><a href="">
            <a href="mailto:a@b.c"><a href="https://example.org/x"><a href="//example.org/y"><a href="tel:1">
            <script>var x = '<a href="/script">';</script><a href="http://site.invalid.evil/">"##;
        let found: Vec<_> = internal("sub/index.html", html).into_iter().collect();
        assert_eq!(found, ["about/", "bread", "images/Löwe.svg", "sub/style.css"]);
    }

    #[test]
    fn a_path_is_served_by_its_file_folder_or_page() {
        assert_eq!(candidates(""), ["index.html"]);
        assert_eq!(candidates("a/"), ["a/index.html"]);
        assert_eq!(candidates("a"), ["a", "a/index.html", "a.html"]);
    }
}
