//! Where the pages of a site lead: their links as they stand in the HTML, and the page of the same site that each means.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};
use percent_encoding::percent_decode_str;
use url::Url;

/// Stands for the site's own address.
const HOME: &str = "http://site.invalid/";
/// Its host.
const HOST: &str = "site.invalid";
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

/// Links of a page beyond these are not looked at.
const MAX_LINKS: usize = 20_000;
/// More of a path is not kept. No file of a site has one that is nearly as long.
const MAX_PATH_BYTES: usize = 2048;

/// Where on the same site a page leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Without a leading '/'.
    pub path: String,
    /// Whether it says the whole path, and not only the way from the page.
    pub is_from_root: bool,
}

/// The paths on the same site to which a page leads, one after another.
pub(super) fn internal(page: &str, html: &[u8]) -> impl Iterator<Item = String> {
    links(page, html).map(|link| link.path)
}

/// The same with how they are said.
pub(super) fn links(page: &str, html: &[u8]) -> impl Iterator<Item = Link> {
    let mut base = Base::of(page);
    let mut emitter = DefaultEmitter::default();
    // What stands in scripts and styles is no element.
    emitter.naively_switch_states(true);
    let tokens = Tokenizer::new_with_emitter(html, emitter).flatten();
    let said = tokens.filter_map(|token| match token {
        Token::StartTag(tag) => said_by(&tag),
        _ => None,
    });
    said.take(MAX_LINKS).filter_map(move |said| base.take_in(&said))
}

/// What an element says of where the page leads.
enum Said {
    Base(String),
    Link(String),
}

/// Where the links of a page lead from: the page, or what its first `<base>` says instead (HTML, section 4.2.3).
struct Base {
    url: Option<Url>,
    is_said: bool,
}

impl Base {
    fn of(page: &str) -> Self {
        Self { url: Url::parse(HOME).and_then(|home| home.join(page)).ok(), is_said: false }
    }

    /// Where a link leads on the same site.
    fn take_in(&mut self, said: &Said) -> Option<Link> {
        match said {
            Said::Base(href) => {
                self.say(href);
                None
            }
            Said::Link(link) => {
                let path = path_of(self.url.as_ref()?, link.trim())?;
                Some(Link { path, is_from_root: self.is_said || link.trim().starts_with('/') })
            }
        }
    }

    fn say(&mut self, href: &str) {
        let url = self.url.as_ref().filter(|_| !self.is_said).and_then(|url| url.join(href.trim()).ok());
        self.is_said = true;
        self.url = url.or_else(|| self.url.take());
    }
}

fn said_by(tag: &StartTag<()>) -> Option<Said> {
    if &tag.name[..] == b"base" {
        return attribute(tag, b"href").map(Said::Base);
    }
    let (_, leading) = LEADING.iter().find(|(element, _)| &tag.name[..] == *element)?;
    attribute(tag, leading).map(Said::Link)
}

fn attribute(tag: &StartTag<()>, wanted: &[u8]) -> Option<String> {
    let (_, value) = tag.attributes.iter().find(|(name, _)| &name[..] == wanted)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn path_of(base: &Url, link: &str) -> Option<String> {
    if link.is_empty() || link.starts_with('#') {
        return None;
    }
    let url = base.join(link).ok().filter(|url| url.host_str() == Some(HOST))?;
    let path = url.path().trim_start_matches('/');
    let path = percent_decode_str(path).decode_utf8().ok()?;
    Some(path[..path.floor_char_boundary(MAX_PATH_BYTES)].to_owned())
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
        let found: Vec<_> = internal("sub/index.html", html).collect();
        assert_eq!(found, ["about/", "bread", "images/Löwe.svg", "sub/style.css"]);
    }

    #[test]
    fn links_lead_from_where_a_page_says() {
        let found = |html: &str| internal("sub/index.html", html.as_bytes()).collect::<Vec<_>>();
        let links = "<a href=bread><a href=/about><a href=../team>";
        assert_eq!(found(links), ["sub/bread", "about", "team"]);
        assert_eq!(found(&format!("<base target=_blank><base href=/>{links}")), ["bread", "about", "team"]);
        assert_eq!(found(&format!("<base href='/a/'><base href=/b/>{links}")), ["a/bread", "about", "team"]);
        assert_eq!(found(&format!("<base href=https://example.org/>{links}")), [""; 0]);
    }

    #[test]
    fn neither_many_links_nor_long_ones_are_kept_whole() {
        let many = "<a href=x>".repeat(2 * MAX_LINKS);
        assert_eq!(internal("index.html", many.as_bytes()).count(), MAX_LINKS);
        let long = format!("<a href=/{}>", "é".repeat(MAX_PATH_BYTES));
        assert_eq!(internal("index.html", long.as_bytes()).next().unwrap().len(), MAX_PATH_BYTES);
    }

    #[test]
    fn a_path_is_served_by_its_file_folder_or_page() {
        assert_eq!(candidates(""), ["index.html"]);
        assert_eq!(candidates("a/"), ["a/index.html"]);
        assert_eq!(candidates("a"), ["a", "a/index.html", "a.html"]);
    }
}
