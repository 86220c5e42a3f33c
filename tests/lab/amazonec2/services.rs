//! The services that give credentials, as AWS documents them: of a container, of an instance, and for a login. Each is as
//! strict as the document, and knows what it was asked.

use crate::ocean::wire::{self, Request, Serve};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// All of them, behind one address.
pub(crate) struct Services {
    address: SocketAddr,
    own: Arc<Own>,
}

struct Own {
    state: Mutex<State>,
}

struct State {
    /// What it was asked, as `PUT /latest/api/token`.
    asked: Vec<String>,
    /// How many credentials it gave.
    given: usize,
    /// How long those last that it gives.
    lasting: Duration,
    /// What a container shows, and what a login gave.
    token: String,
    /// What it says instead of giving any, so often.
    says: Option<(u16, usize)>,
}

impl Services {
    pub(crate) fn start() -> Self {
        let (asked, token, says) = (Vec::new(), "token-of-the-pod".to_owned(), None);
        let state = State { asked, given: 0, lasting: Duration::hours(6), token, says };
        let own = Arc::new(Own { state: Mutex::new(state) });
        Self { address: wire::listen(Arc::clone(&own)), own }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Forgets what it was asked; from now on its credentials last so long, and it knows this token.
    pub(crate) fn fresh(&self, lasting: Duration, token: &str) {
        let (asked, token) = (Vec::new(), token.to_owned());
        *self.own.state.lock().unwrap() = State { asked, given: 0, lasting, token, says: None };
    }

    /// Lets it refuse so many requests for credentials.
    pub(crate) fn say(&self, status: u16, times: usize) {
        self.own.state.lock().unwrap().says = Some((status, times));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.own.state.lock().unwrap().asked.clone()
    }
}

/// The token of the instance's own service.
const METADATA: &str = "token-of-the-metadata-service==";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl State {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let refused = |status, message: &str| (status, json!({ "message": message }));
        let header = |name| request.header(name).unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            // Amazon ECS and EKS: the token as it stands in the file, and nothing beside it.
            ("GET", "/role") if header("authorization") != self.token => refused(401, "No such token"),
            ("GET", "/role") => self.give("CONTAINER"),
            // EC2, "How instance metadata service version 2 works".
            ("PUT", "/latest/api/token") => {
                let lasting: u32 = header("x-aws-ec2-metadata-token-ttl-seconds").parse().unwrap_or(0);
                match lasting {
                    _ if !header("x-forwarded-for").is_empty() => refused(403, "It came through a proxy"),
                    1..=21600 => (200, json!(METADATA)),
                    _ => refused(400, "Missing or Invalid Parameters"),
                }
            }
            (_, path) if path.starts_with("/latest/") && header("x-aws-ec2-metadata-token") != METADATA => {
                refused(401, "Unauthorized")
            }
            ("GET", ROLES) => (200, json!("deployer")),
            ("GET", path) if path.strip_prefix(ROLES) == Some("deployer") => self.give("INSTANCE"),
            // IAM Identity Center, "GetRoleCredentials".
            ("GET", "/federation/credentials") if header("x-amz-sso_bearer_token") != self.token => {
                refused(401, "Session token not found or invalid")
            }
            ("GET", "/federation/credentials") => {
                let mut wanted: Vec<&str> = request.query.split('&').collect();
                wanted.sort_unstable();
                match wanted.as_slice() {
                    ["account_id=123456789012", "role_name=Deploy%2BTeam"] => self.give("LOGIN"),
                    _ => refused(403, "No access"),
                }
            }
            _ => refused(404, "Not Found"),
        }
    }

    fn give(&mut self, name: &str) -> (u16, Value) {
        if let Some((status, times)) = &mut self.says
            && *times > 0
        {
            *times -= 1;
            return (*status, json!({ "message": "Not now" }));
        }
        self.given += 1;
        let end = OffsetDateTime::now_utc() + self.lasting;
        let key = format!("ASIA{name}{}", self.given);
        if name == "LOGIN" {
            let given = json!({
                "accessKeyId": key, "secretAccessKey": "canary/secret", "sessionToken": format!("session-of-{key}"),
                "expiration": end.unix_timestamp() * 1000,
            });
            return (200, json!({ "roleCredentials": given }));
        }
        let end = end.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
        let given = json!({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key, "SecretAccessKey": "canary/secret",
            "Token": format!("session-of-{key}"), "Expiration": end,
        });
        (200, given)
    }
}

impl Serve for Own {
    fn serve(&self, request: Request, stream: &mut TcpStream) {
        let mut state = self.state.lock().unwrap();
        state.asked.push(format!("{} {}", request.method, request.path));
        let (status, body) = state.answer(&request);
        drop(state);
        // Tokens and names of roles are texts, the rest is JSON.
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        wire::answer(stream, status, "", &text);
    }
}
