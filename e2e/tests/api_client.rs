//! The generated client speaks to a real hermes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use e2e::world::World;
use openapi::{
    ApiResponse, GetProjectRequest, GetProjectRequestPath, HermesClient, ListMailsRequest, ProjectSettings,
    PutProjectRequest, PutProjectRequestPath,
};

fn project_named(name: &str) -> GetProjectRequest {
    GetProjectRequest { path: GetProjectRequestPath { project_id: name.into() } }
}

#[tokio::test]
async fn a_program_manages_projects_through_the_generated_client() {
    let mut world = World::temporary().unwrap();
    let api = world.start_hermes("127.0.0.1:0").await.unwrap();
    let token = std::fs::read_to_string(world.data_dir().join("admin-token")).unwrap();
    let client = HermesClient::with_base_url(api.base()).unwrap().with_token(token.trim());

    let settings =
        ProjectSettings { repo_url: "https://github.com/you/bakery.git".into(), ..Default::default() };
    let path = PutProjectRequestPath { project_id: "bakery".into() };
    let put = PutProjectRequest { path, body: settings };
    let ApiResponse::Created(project) = client.put_project(put).await.unwrap() else { panic!("not created") };
    assert_eq!((project.project_id.as_str(), project.build.output.as_deref()), ("bakery", Some("dist")));

    let ApiResponse::Ok(found) = client.get_project(project_named("bakery")).await.unwrap() else {
        panic!("not found")
    };
    assert_eq!(found, project);

    let ApiResponse::NotFound(problem) = client.get_project(project_named("florist")).await.unwrap() else {
        panic!("found")
    };
    assert!(problem.detail.contains("hermes projects add florist"));

    let stranger = HermesClient::with_base_url(api.base()).unwrap();
    let listed = stranger.list_mails(ListMailsRequest::default()).await.unwrap();
    assert!(matches!(listed, ApiResponse::Unauthorized(_)));
    world.stop().await.unwrap();
}
