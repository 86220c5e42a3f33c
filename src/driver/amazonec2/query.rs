//! The EC2 Query API: calls as forms, answers as XML, each signed anew whenever it is sent.

use super::{
    credentials::Credentials,
    error::{ApiError, Cause},
    sign::{Request as Signed, Signer, TIME},
    xml::Element,
};
use crate::{
    clock::{Clock, SystemClock},
    fault,
    http::{HttpError, Limiter, Method, Reply, Request, Retry, Service, Url, Verdict},
    secret::Revealed,
};
use std::{sync::LazyLock, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// Parameters of a call, its action first.
#[derive(Clone)]
pub(super) struct Params {
    action: &'static str,
    pairs: Vec<(String, String)>,
    once_only: bool,
}

impl Params {
    /// A call that may be sent twice without harm.
    pub(super) fn new(action: &'static str) -> Self {
        Self { action, pairs: Vec::new(), once_only: false }
    }

    /// That it must not be sent again when its answer was lost.
    pub(super) fn once_only(mut self) -> Self {
        self.once_only = true;
        self
    }

    /// With a parameter.
    pub(super) fn with(mut self, name: impl Into<String>, value: impl AsRef<str>) -> Self {
        self.pairs.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// With a parameter, if there is something to say.
    pub(super) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) if !value.is_empty() => self.with(name, value),
            _ => self,
        }
    }

    /// With values of a list: `InstanceId` becomes `InstanceId.1`, `InstanceId.2`.
    pub(super) fn list<T: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().enumerate().fold(self, |params, (n, value)| params.with(format!("{name}.{}", n + 1), value))
    }

    /// With filter number `n`.
    pub(super) fn filter<T: AsRef<str>>(self, n: usize, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.with(format!("Filter.{n}.Name"), name).list(&format!("Filter.{n}.Value"), values)
    }

    /// The body of the request.
    fn form(&self, version: &str) -> String {
        let own = [("Action", self.action), ("Version", version)];
        let pairs = own.into_iter().chain(self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect::<Vec<_>>().join("&")
    }
}

/// As forms are written.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A service of AWS in a region, and who we are there.
pub(super) struct Api {
    /// As `ec2`.
    pub(super) service: &'static str,
    /// Version of its API.
    pub(super) version: &'static str,
    /// Where it answers.
    pub(super) url: Url,
    /// What signatures are for.
    pub(super) region: String,
    /// Whether a person said where it answers.
    pub(super) own_endpoint: bool,
    /// Who we are; `None`: the call needs no signature.
    pub(super) credentials: Option<Credentials>,
    /// How long we try.
    pub(super) retry: Retry,
}

/// EC2 lets an account ask about 20 times a second, after a burst of 100; others may be asking too.
static LIMITER: LazyLock<Limiter> = LazyLock::new(|| Limiter::new(Duration::from_millis(60), 40, 16));

impl Api {
    /// Makes a call; `doing` is what a person is told when it fails.
    pub(super) async fn call(&self, doing: &str, params: Params) -> Result<Element, ApiError> {
        let service = Service::new(LIMITER.clone()).retry(self.retry).judge(judge);
        let body = params.form(self.version);
        let failed = |cause| ApiError {
            doing: doing.to_owned(),
            action: params.action.to_owned(),
            service: self.service,
            region: self.region.clone(),
            who: match &self.credentials {
                _ if self.own_endpoint && matches!(cause, Cause::Http(_)) => super::error::OWN_ENDPOINT.to_owned(),
                Some(credentials) => credentials.from.clone(),
                None => "none".to_owned(),
            },
            cause,
        };
        let make = || {
            let request = self.request(&body);
            if params.once_only { request.once_only() } else { request.repeatable() }
        };
        let looks = ["Describe", "Get", "Assume"].iter().any(|verb| params.action.starts_with(verb));
        let point = |name| match fault::point(name, params.action) {
            Err(e) if !looks => {
                let (host, request) = (self.service.to_owned(), params.action.to_owned());
                Err(failed(Cause::Http(HttpError::Lost { host, request, why: e.to_string() })))
            }
            _ => Ok(()),
        };
        point("amazonec2.call")?;
        let answer = service.send_with(make).await;
        point("amazonec2.call.done")?;
        let reply = match answer {
            Ok(reply) => reply,
            // All calls are `POST /`.
            Err(HttpError::Lost { host, why, .. }) => {
                let request = params.action.to_owned();
                return Err(failed(Cause::Http(HttpError::Lost { host, request, why })));
            }
            Err(e) => return Err(failed(Cause::Http(e))),
        };
        if !reply.is_success() {
            let (code, message) =
                said(&reply).unwrap_or_else(|| (format!("status {}", reply.status()), "it gives no reason".to_owned()));
            return Err(failed(Cause::Said { code, message, ahead: ahead(&reply) }));
        }
        Element::parse(&reply.text()).map_err(|why| {
            let host = self.url.host_str().unwrap_or_default().to_owned();
            failed(Cause::Http(HttpError::Malformed { host, status: reply.status(), why }))
        })
    }

    fn request(&self, body: &str) -> Request {
        const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
        let request = Request::new(Method::POST, self.url.clone()).body(FORM, body.as_bytes().to_vec());
        let Some(credentials) = &self.credentials else { return request };
        let time = SystemClock.now().to_utc().format(TIME).expect("the form has only parts that every time has");
        let host = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = vec![("content-type", FORM), ("host", host.as_str()), ("x-amz-date", time.as_str())];
        if let Some(token) = &credentials.token {
            headers.push(("x-amz-security-token", token.expose()));
        }
        let signer = Signer {
            access_key: &credentials.access_key,
            secret_key: credentials.secret_key.expose(),
            region: &self.region,
            service: self.service,
            time: &time,
        };
        let signed =
            Signed { method: "POST", path: self.url.path(), query: "", headers: &headers, body: body.as_bytes() };
        let authorization = Revealed::new(signer.authorization(&signed));
        let request = request.header("x-amz-date", &time).secret_header("authorization", &authorization);
        match &credentials.token {
            Some(token) => request.secret_header("x-amz-security-token", token),
            None => request,
        }
    }
}

/// Code and message of an error. EC2 has a list of them, others have one.
fn said(reply: &Reply) -> Option<(String, String)> {
    let root = Element::parse(&reply.text()).ok()?;
    let error = root.at("Errors/Error").or_else(|| root.at("Error"))?;
    let code = error.text("Code");
    (!code.is_empty()).then(|| (code.to_owned(), error.text("Message").to_owned()))
}

/// What an answer means for sending again. Codes count more than statuses: having no capacity is a 500.
fn judge(reply: &Reply) -> Verdict {
    if reply.is_success() {
        return Verdict::Final;
    }
    let code = said(reply).map(|(code, _)| code);
    match code.as_deref() {
        Some(
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "EC2ThrottledException"
            | "SlowDown"
            | "TooManyRequestsException",
        ) => Verdict::Throttled,
        Some("InternalError" | "InternalFailure" | "Unavailable" | "ServiceUnavailable") => Verdict::Busy,
        Some(_) => Verdict::Final,
        None => match reply.status() {
            429 => Verdict::Throttled,
            408 | 500..=599 => Verdict::Busy,
            _ => Verdict::Final,
        },
    }
}

/// How many seconds this computer's clock is ahead of the server's.
fn ahead(reply: &Reply) -> Option<i64> {
    let there = OffsetDateTime::parse(reply.header("date")?, &Rfc2822).ok()?;
    Some((SystemClock.now().to_utc() - there).whole_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_a_form_in_their_order() {
        let params = Params::new("DescribeImages")
            .list("Owner", ["099720109477"])
            .filter(1, "name", ["ubuntu/images/*", "ä b"])
            .maybe("NextToken", None)
            .maybe("Other", Some(""));
        let want = "Action=DescribeImages&Version=2016-11-15&Owner.1=099720109477&Filter.1.Name=name\
            &Filter.1.Value.1=ubuntu%2Fimages%2F%2A&Filter.1.Value.2=%C3%A4+b";
        assert_eq!(params.form("2016-11-15"), want);
    }
}
