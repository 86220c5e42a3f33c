//! HTTP for drivers: one client for the process, and what each would get wrong alone. Whether a request that ended badly
//! can have had an effect is known; what may be sent again is; providers' limits are kept to; secrets stay out of texts.

mod body;
mod download;
mod error;
mod limit;
mod poll;
mod reply;
mod request;
mod retry;
mod service;

#[cfg(test)]
mod download_tests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

pub use download::{Download, DownloadError, Sum};
pub use error::HttpError;
pub use limit::{Limiter, Place};
pub use poll::{Awaited, Pace, PollError, poll};
pub use reply::Reply;
pub use request::{Method, Request, Url};
pub use retry::{Retry, Verdict, usual};
pub use service::Service;

use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap},
    redirect::Policy,
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

/// The client. Clones share its connections; one for the process is enough (see [`Http::shared`]).
#[derive(Clone, Debug)]
pub struct Http(Result<Client, Arc<str>>);

static SHARED: LazyLock<Http> = LazyLock::new(Http::new);

/// How long reaching a server may take: name, connection and TLS.
const CONNECT: Duration = Duration::from_secs(15);

/// How often a server may send us elsewhere.
const REDIRECTS: usize = 10;

impl Http {
    /// The one of this process, made when first asked for. It goes through the proxies that the environment or the
    /// system names, and trusts whom the system trusts.
    #[must_use]
    pub fn shared() -> Self {
        SHARED.clone()
    }

    fn new() -> Self {
        let builder = Client::builder()
            .user_agent(concat!("machine/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(30))
            // We follow ourselves: only we know which headers are secret.
            .redirect(Policy::none())
            // Nor is anything sent again that may have had an effect.
            .retry(reqwest::retry::never());
        Self(builder.build().map_err(|e| error::innermost(&e).into()))
    }

    /// Sends a request once and reads the whole answer, whatever its status. Redirections of what only looks are
    /// followed; a server elsewhere is not told what is secret.
    ///
    /// # Errors
    /// When there is no whole answer; see [`HttpError::without_effect`].
    pub async fn once(&self, request: &Request) -> Result<Reply, HttpError> {
        let response = tokio::time::timeout(request.timeout, self.open(request))
            .await
            .unwrap_or_else(|_| Err(request.lost(late(request.timeout))))?;
        let read = body::whole(request, response);
        tokio::time::timeout(request.timeout, read).await.unwrap_or_else(|_| Err(request.lost(late(request.timeout))))
    }

    /// Sends a request and returns when the head of the answer is here.
    async fn open(&self, request: &Request) -> Result<Response, HttpError> {
        let client = self.0.as_ref().map_err(|why| HttpError::Unprepared { why: why.to_string() })?;
        if let Some(what) = &request.problem {
            return Err(HttpError::Unsendable { what: what.clone() });
        }
        let (mut url, mut headers) = (request.url.clone(), request.headers.clone());
        for _ in 0..=REDIRECTS {
            let sent = client
                .request(request.method.clone(), url.clone())
                .headers(headers.clone())
                .body(request.body.clone())
                .send()
                .await;
            let response = sent.map_err(|e| failed(request, &url, &e))?;
            let Some(next) = elsewhere(request, &url, &response)? else { return Ok(response) };
            if next.origin() != url.origin() {
                forget_secrets(&mut headers);
            }
            url = next;
        }
        Err(request.lost(format!("it was sent elsewhere more than {REDIRECTS} times")))
    }
}

fn late(limit: Duration) -> String {
    format!("no whole answer within {}", crate::duration::text(limit))
}

/// Where the server sends us, if it does and we may follow.
fn elsewhere(request: &Request, from: &Url, response: &Response) -> Result<Option<Url>, HttpError> {
    let moved = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let looks = matches!(request.method, Method::GET | Method::HEAD);
    let Some(to) = response.headers().get(header::LOCATION).filter(|_| moved && looks) else { return Ok(None) };
    let to = to.to_str().ok().and_then(|to| from.join(to).ok()).filter(|to| matches!(to.scheme(), "http" | "https"));
    let Some(to) = to else { return Err(request.lost("it was sent to an address that cannot be read".to_owned())) };
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(request.lost(format!("it was sent to `{}` without TLS", error::host(&to))));
    }
    Ok(Some(to))
}

fn forget_secrets(headers: &mut HeaderMap) {
    let secret = |name: &&header::HeaderName| {
        headers.get_all(*name).iter().any(reqwest::header::HeaderValue::is_sensitive)
            || **name == header::AUTHORIZATION
            || **name == header::COOKIE
    };
    for name in headers.keys().filter(secret).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// What a failed exchange means. Only what failed before there was a connection surely had no effect.
fn failed(request: &Request, url: &Url, e: &reqwest::Error) -> HttpError {
    let host = error::host(url);
    if e.is_builder() {
        return HttpError::Unsendable { what: error::innermost(e) };
    }
    if e.is_connect() {
        let why = if e.is_timeout() {
            format!("no connection within {}", crate::duration::text(CONNECT))
        } else {
            error::innermost(e)
        };
        return HttpError::NotSent { host, why, distrusted: error::is_tls(e) };
    }
    let why = if e.is_timeout() { late(request.timeout) } else { error::innermost(e) };
    HttpError::Lost { host, request: request.line(), why }
}
