//! The pages that a job touched, as far as the names of its files tell.

/// The most entries that one answer lists.
const MAX_LISTED: usize = 30;
/// Where site generators keep pages by their address.
const PAGE_FOLDERS: [&str; 4] = ["src/pages/", "pages/", "content/", "src/content/"];
const PAGE_ENDINGS: [&str; 7] = [".astro", ".md", ".mdx", ".html", ".njk", ".vue", ".svelte"];

/// One entry a file, pages by their address, and how many are left out.
pub(super) fn listed(files: &[String]) -> (Vec<String>, usize) {
    let listed: Vec<String> = files.iter().take(MAX_LISTED).map(|file| entry(file)).collect();
    let left = files.len() - listed.len();
    (listed, left)
}

fn entry(file: &str) -> String {
    page(file).map_or_else(|| file.to_owned(), |page| format!("{page} ({file})"))
}

/// The address of the page that a file makes; none for a file that makes none, or one for each of many.
fn page(file: &str) -> Option<String> {
    let path = PAGE_FOLDERS.iter().find_map(|folder| file.strip_prefix(folder))?;
    let name = PAGE_ENDINGS.iter().find_map(|ending| path.strip_suffix(ending))?;
    if name.contains(['[', '_']) {
        return None;
    }
    let name = name.strip_suffix("index").unwrap_or(name).trim_end_matches('/');
    Some(if name.is_empty() { "/".to_owned() } else { format!("/{name}/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_named_by_its_address() {
        assert_eq!(page("src/pages/index.astro").as_deref(), Some("/"));
        assert_eq!(page("src/pages/about.astro").as_deref(), Some("/about/"));
        assert_eq!(page("content/shop/index.md").as_deref(), Some("/shop/"));
        for none in
            ["src/styles/site.css", "public/photo.jpg", "src/pages/[slug].astro", "src/pages/feed.xml.js"]
        {
            assert_eq!(page(none), None, "{none}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<String> = (0..50).map(|n| format!("f{n}")).collect();
        let (listed, left) = listed(&many);
        assert_eq!((listed.len(), left), (30, 20));
    }
}
