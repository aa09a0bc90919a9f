//! Where links lead when sites lie in buckets.

use common::domain::names::{PreviewKey, SiteTarget};

use crate::support::World;

#[tokio::test]
async fn buckets_show_live_sites_and_projects_previews_and_hermes_the_rest() {
    let domain = ["--trust", "all", "--sites-domain", "previews.agency.com"];
    let world = World::with(&[&domain[..], &["--public-url", "https://hermes.agency.com"]].concat()).await;
    let project: common::domain::ids::ProjectId = "amelia".parse().unwrap();
    let live = world.app.site_url(&SiteTarget::Live(project.clone()));
    assert!(live.starts_with("https://live-") && live.ends_with(".amelia/"), "{live}");
    let preview = world.app.site_url(&SiteTarget::Preview(project.clone()));
    assert!(preview.starts_with("https://edit-") && preview.ends_with(".amelia/"), "{preview}");
    let thread = world.app.site_url(&SiteTarget::Thread(project, PreviewKey::from_bytes(&[7; 12])));
    assert_eq!(thread, "https://070707070707070707070707.amelia.previews.agency.com/");
}
