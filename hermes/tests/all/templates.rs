//! The mail templates are written in MJML and committed as the HTML that it compiles to, so that building Hermes needs no
//! MJML compiler. When the two differ this test writes the HTML anew and is red once.

use std::path::Path;

use mrml::prelude::render::RenderOptions;

#[test]
fn the_committed_html_is_what_the_mjml_compiles_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reply/templates");
    let source = std::fs::read_to_string(folder.join("letter.mjml")).unwrap();
    let mail = mrml::parse(&source).expect("the MJML is right").element;
    // No web fonts: nothing may be fetched when a mail is opened.
    let options = RenderOptions { fonts: std::collections::HashMap::new(), ..RenderOptions::default() };
    let compiled = mail.render(&options).expect("the MJML can be rendered") + "\n";
    let path = folder.join("letter.html");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if compiled != committed {
        std::fs::write(&path, compiled).unwrap();
        panic!("{} was stale and has been written anew: look at it and commit it", path.display());
    }
}
