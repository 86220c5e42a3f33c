//! Reading the body of an answer.

use super::{HttpError, Reply, Request, error};
use reqwest::Response;

/// More than any provider answers; a server that sends more is broken, or wants our memory.
const MOST: usize = 64 << 20;

/// The whole answer.
pub(super) async fn whole(request: &Request, mut response: Response) -> Result<Reply, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| request.lost(broken(&e)))? {
        if body.len() + chunk.len() > MOST {
            return Err(request.lost(format!("the answer is longer than {} MiB", MOST >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { url: response.url().clone(), status, headers, body })
}

/// Why an answer ended in the middle.
pub(super) fn broken(e: &reqwest::Error) -> String {
    format!("the answer ended too early: {}", error::innermost(e))
}
