//! What never becomes part of a commit although no `.gitignore` names it: packages, caches of builds and, where the source
//! does not have it, what builds make. It is kept beside the checkout, where no agent writes.

use std::path::{Component, Path};

use git2::Repository;

use super::{Result, replace};

/// In every repository.
const ALWAYS: &str = "node_modules/\n.astro/\n.cache/\n";
/// The file beside the checkout with the rules of this repository.
const BESIDE: &str = "excluded";

/// All rules for the repository in this folder.
pub(super) fn rules(path: &Path) -> String {
    let beside = path.with_file_name(BESIDE);
    let is_file = beside.symlink_metadata().is_ok_and(|meta| meta.is_file());
    let more = is_file.then(|| std::fs::read_to_string(beside).ok()).flatten().unwrap_or_default();
    format!("{ALWAYS}{more}")
}

/// From now on these rules hold for the repository, beside those that always do.
pub fn exclude(repo: &Repository, more: &str) -> Result<()> {
    let Some(path) = repo.workdir() else { return Ok(()) };
    replace(&path.with_file_name(BESIDE), more)?;
    replace(&repo.path().join("info").join("exclude"), &rules(path))
}

/// The rule for one folder of the repository; none for the repository itself, and for what no rule can name.
pub fn folder_rule(folder: &str) -> Option<String> {
    let mut rule = String::from("/");
    for part in Path::new(folder).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => {
                name.to_str()?.chars().try_for_each(|letter| escape(letter, &mut rule))?;
                rule.push('/');
            }
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    (rule.len() > 1).then(|| rule + "\n")
}

fn escape(letter: char, rule: &mut String) -> Option<()> {
    if matches!(letter, '\\' | '*' | '?' | '[' | ']') {
        rule.push('\\');
    }
    rule.push(letter);
    (!letter.is_control()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_literally_and_the_repository_itself_never() {
        assert_eq!(folder_rule("dist").as_deref(), Some("/dist/\n"));
        assert_eq!(folder_rule("./a [b]/*").as_deref(), Some("/a \\[b\\]/\\*/\n"));
        for none in [".", "", "./", "../dist", "/etc", "a\nb"] {
            assert_eq!(folder_rule(none), None, "{none:?}");
        }
    }
}
