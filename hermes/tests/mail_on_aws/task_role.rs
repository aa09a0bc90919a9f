//! Credentials of a task of ECS: asked of the address that ECS names, and nothing else signs a call.

use std::sync::{Arc, Mutex};

use common::cloud::contract::endpoint::Endpoint;
use common::cloud::contract::endpoint::front::{Call, Front, Verdict, judge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CREDENTIALS: &str = r#"{"RoleArn": "arn:aws:iam::000000000000:role/task", "AccessKeyId": "ASIATASKROLE", "SecretAccessKey": "s3cret",
    "Token": "t0ken-of-the-task", "Expiration": "2036-01-01T00:00:00Z"}"#;

/// What ECS gives to whoever asks at the address in a task's environment.
async fn credentials() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 2048];
            let length = stream.read(&mut asked).await.unwrap();
            assert!(asked[..length].starts_with(b"GET /v2/credentials/task "));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                CREDENTIALS.len()
            );
            stream.write_all((head + CREDENTIALS).as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}/v2/credentials/task")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods, reason = "the test starts the program under test")]
async fn calls_are_signed_with_the_role_of_the_task() {
    let signed = Arc::<Mutex<Vec<(String, String)>>>::default();
    let noted = Arc::clone(&signed);
    let note = move |call: &Call| {
        let header = |name: &str| call.header(name).unwrap_or_default().to_owned();
        noted.lock().unwrap().push((header("authorization"), header("x-amz-security-token")));
        Verdict::Pass
    };
    let front = Front::before(Endpoint::shared().url(), judge(note)).await;
    // An endpoint on loopback by name needs no credentials; this is the same one by an address that is not.
    let elsewhere = front.url().replace("127.0.0.1", "0.0.0.0");
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hermes"))
        .env_clear()
        .env("HOME", folder.path())
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", credentials().await)
        .args(["--data-dir", folder.path().to_str().unwrap(), "--cloud", "aws", "--prefix", "taskrole"])
        .args(["--aws-endpoint-url", &elsewhere, "provision", "--dry-run"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("s3cret") && !said.contains("t0ken"), "{said}");
    let signed = signed.lock().unwrap();
    assert!(signed.len() > 10, "{signed:?}");
    for (authorization, token) in signed.iter() {
        assert!(authorization.contains("Credential=ASIATASKROLE/"), "{authorization}");
        assert_eq!(token, "t0ken-of-the-task");
    }
}
