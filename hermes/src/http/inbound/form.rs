//! Form fields out of a body that was read whole, byte for byte: a mail in a field need not be UTF-8.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use percent_encoding::percent_decode;

use super::super::problem::Problem;

/// The most fields that are looked at.
const MAX_FIELDS: usize = 200;

/// Gives each field to `take`.
pub(super) async fn fields(
    headers: &HeaderMap,
    body: Bytes,
    mut take: impl FnMut(&str, &[u8]),
) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(boundary) = multer::parse_boundary(kind) {
        return multipart(boundary, body, take).await;
    }
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::bad_request("form fields are expected"));
    }
    for pair in body.split(|byte| *byte == b'&').take(MAX_FIELDS) {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = String::from_utf8_lossy(&decoded(&pair[..at])).into_owned();
        take(&name, &decoded(pair.get(at + 1..).unwrap_or_default()));
    }
    Ok(())
}

/// Of `application/x-www-form-urlencoded` (WHATWG URL, section 5.1).
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

async fn multipart(boundary: String, body: Bytes, mut take: impl FnMut(&str, &[u8])) -> Result<(), Problem> {
    let broken = |_| Problem::bad_request("the form fields cannot be read");
    let whole = futures_util::stream::once(async move { Ok::<_, std::io::Error>(body) });
    let mut form = multer::Multipart::new(whole, boundary);
    for _ in 0..MAX_FIELDS {
        let Some(field) = form.next_field().await.map_err(broken)? else { return Ok(()) };
        let name = field.name().unwrap_or_default().to_owned();
        take(&name, &field.bytes().await.map_err(broken)?);
    }
    Err(Problem::bad_request("there are too many form fields"))
}
