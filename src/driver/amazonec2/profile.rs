//! The files in which the AWS CLI and SDKs keep profiles, and what a profile says about credentials. Pure.
//!
//! Source: the AWS SDKs and Tools reference guide, "Shared config and credentials files".

use super::sso::Login;
use std::{collections::BTreeMap, fmt};

/// Settings of one profile.
type Settings = BTreeMap<String, String>;

/// All profiles of both files, and the logins that several may share.
#[derive(Clone, Default)]
pub(super) struct Profiles {
    all: BTreeMap<String, Settings>,
    sessions: BTreeMap<String, Settings>,
}

/// How a profile comes to credentials.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Way {
    /// They stand there.
    Keys {
        /// Id of the access key.
        access_key: String,
        /// Its secret half.
        secret_key: String,
        /// Token of the session, if it is of one.
        token: Option<String>,
    },
    /// A role is assumed with the credentials of another profile.
    Role {
        /// The role.
        role: Role,
        /// Whose credentials are used.
        source: Source,
    },
    /// A role is assumed with a token in a file.
    WebIdentity {
        /// The role.
        role: Role,
        /// Where the token is.
        file: String,
    },
    /// A program prints them.
    Process(String),
    /// A login with the AWS CLI: they are asked for with what it keeps, or it is asked itself.
    Login(Option<Login>),
    /// Those of the process: there is nothing about credentials in the profile.
    Nothing,
}

/// Texts here may be secrets.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "keys",
            Self::Role { .. } => "a role",
            Self::WebIdentity { .. } => "a web identity",
            Self::Process(_) => "a process",
            Self::Login(_) => "a login",
            Self::Nothing => "nothing",
        })
    }
}

/// A role, and how a session of it is begun.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Role {
    /// Its ARN.
    pub(super) arn: String,
    /// What the session is called.
    pub(super) session: Option<String>,
    /// What the role's owner asks third parties for.
    pub(super) external_id: Option<String>,
    /// How long the session lasts.
    pub(super) seconds: Option<String>,
}

/// Whose credentials are used to assume a role.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// Those of another profile, or of this one's own keys.
    Profile(String),
    /// Those in the environment.
    Environment,
    /// Those of the container we run in.
    Container,
    /// Those of the instance we run on.
    Instance,
}

impl Profiles {
    /// Reads both files. What stands in the credentials file wins.
    pub(super) fn parse(config: &str, credentials: &str) -> Self {
        let Self { mut all, mut sessions } = Self::default();
        for (section, settings) in sections(config) {
            let named = |name: &str| name.trim().trim_matches(['"', '\'']).to_owned();
            let (among, name) = match section.split_once(char::is_whitespace) {
                Some(("profile", name)) => (&mut all, named(name)),
                Some(("sso-session", name)) => (&mut sessions, named(name)),
                None if section == "default" => (&mut all, section),
                // `services` and whatever else there will be.
                _ => continue,
            };
            among.entry(name).or_default().extend(settings);
        }
        for (name, settings) in sections(credentials) {
            all.entry(name).or_default().extend(settings);
        }
        Self { all, sessions }
    }

    /// Whether there is such a profile.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Names of all.
    pub(super) fn names(&self) -> Vec<&str> {
        self.all.keys().map(String::as_str).collect()
    }

    /// How a profile comes to credentials; says what is wrong with it.
    pub(super) fn way(&self, name: &str) -> Result<Way, String> {
        self.resolve(name, &mut Vec::new())
    }

    fn resolve(&self, name: &str, seen: &mut Vec<String>) -> Result<Way, String> {
        let Some(settings) = self.all.get(name) else { return Err(format!("there is no profile `{name}`")) };
        let get = |key: &str| settings.get(key).map(String::as_str).filter(|value| !value.is_empty());
        let owned = |key: &str| get(key).map(str::to_owned);
        // A profile may assume a role with its own keys.
        let again = seen.iter().any(|other| other == name);
        if let Some(arn) = get("role_arn").filter(|_| !again) {
            if get("mfa_serial").is_some() {
                return Err(format!("profile `{name}` wants a code of `mfa_serial`, which cannot be asked for here"));
            }
            let role = Role {
                arn: arn.to_owned(),
                session: owned("role_session_name"),
                external_id: owned("external_id"),
                seconds: owned("duration_seconds"),
            };
            if let Some(file) = owned("web_identity_token_file") {
                return Ok(Way::WebIdentity { role, file });
            }
            let source = match (get("source_profile"), get("credential_source")) {
                (Some(source), _) => {
                    seen.push(name.to_owned());
                    // To find a mistake before anything is asked.
                    if source != name {
                        if seen.iter().any(|other| other == source) {
                            return Err(format!(
                                "profiles assume roles in a circle: {} -> {source}",
                                seen.join(" -> ")
                            ));
                        }
                        self.resolve(source, seen)?;
                    }
                    Source::Profile(source.to_owned())
                }
                (None, Some("Environment")) => Source::Environment,
                (None, Some("EcsContainer")) => Source::Container,
                (None, Some("Ec2InstanceMetadata")) => Source::Instance,
                (None, _) => {
                    return Err(format!(
                        "profile `{name}` has a `role_arn` and does not say whose credentials assume it"
                    ));
                }
            };
            return Ok(Way::Role { role, source });
        }
        if get("sso_session").or(get("sso_start_url")).or(get("login_session")).is_some() {
            return Ok(Way::Login(self.login(settings)));
        }
        match (owned("aws_access_key_id"), owned("aws_secret_access_key")) {
            (Some(access_key), Some(secret_key)) => {
                Ok(Way::Keys { access_key, secret_key, token: owned("aws_session_token") })
            }
            (None, None) => Ok(owned("credential_process").map_or(Way::Nothing, Way::Process)),
            _ => Err(format!("profile `{name}` has one half of a key and not the other")),
        }
    }

    /// The login of a profile; `None` when it is of a kind that only the CLI knows, or is not whole.
    fn login(&self, profile: &Settings) -> Option<Login> {
        let name = profile.get("sso_session");
        let session = match name {
            Some(name) => self.sessions.get(name)?,
            None => profile,
        };
        Some(Login {
            session: name.or(profile.get("sso_start_url"))?.clone(),
            region: session.get("sso_region")?.clone(),
            account: profile.get("sso_account_id")?.clone(),
            role: profile.get("sso_role_name")?.clone(),
        })
    }

    /// The keys that stand in a profile itself, for one that assumes its own role.
    pub(super) fn own_keys(&self, name: &str) -> Result<Way, String> {
        self.resolve(name, &mut vec![name.to_owned()])
    }
}

/// Sections and their settings, in their order. Lines that are none of either are passed over, as the CLI does.
fn sections(text: &str) -> Vec<(String, Settings)> {
    let mut found: Vec<(String, Settings)> = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = bare.strip_prefix('[') {
            let name = rest.split(']').next().unwrap_or_default().trim();
            found.push((name.to_owned(), Settings::new()));
            continue;
        }
        // Settings of settings (`s3 =` and what is below it) stand further in.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some((key, value)), Some((_, settings))) = (bare.split_once('='), found.last_mut()) {
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default();
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\u{feff}# all of ours\n[default]\nregion = eu-central-1\ns3 =\n  max_concurrent_requests = 20\n\
        [profile work]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\nexternal_id=e # why\n\
        [profile \"two words\"]\ncredential_process = /bin/tool --for me\n\
        [profile people]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = r\n\
        [sso-session corp]\nsso_start_url = https://x\nsso_region = eu-west-1\n\
        [profile old]\nsso_start_url = https://y\nsso_region = eu-west-2\nsso_account_id = 1\nsso_role_name = r\n\
        [profile half-sso]\nsso_session = nowhere\nsso_account_id = 1\nsso_role_name = r\n\
        [profile self]\nrole_arn = r\nsource_profile = self\naws_access_key_id = A\naws_secret_access_key = S\n\
        [profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n\
        [profile mfa]\nrole_arn = r\nsource_profile = base\nmfa_serial = m\n\
        [profile box]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n\
        [profile pod]\nrole_arn = r\nweb_identity_token_file = /token\n\
        [profile lost]\nrole_arn = r\n[profile half]\naws_access_key_id = A\n";
    const CREDENTIALS: &str = "[default]\r\naws_access_key_id = AKIA1\r\naws_secret_access_key = a=b/+\r\n\
        [base]\naws_access_key_id=AKIA2\naws_secret_access_key=s2\naws_session_token=t2\n";

    fn keys(access_key: &str, secret_key: &str, token: Option<&str>) -> Way {
        let owned = str::to_owned;
        Way::Keys { access_key: owned(access_key), secret_key: owned(secret_key), token: token.map(owned) }
    }

    #[test]
    fn each_profile_has_its_way_to_credentials() {
        let profiles = Profiles::parse(CONFIG, CREDENTIALS);
        assert_eq!(profiles.way("default"), Ok(keys("AKIA1", "a=b/+", None)));
        assert_eq!(profiles.way("base"), Ok(keys("AKIA2", "s2", Some("t2"))));
        let role =
            Role { arn: "arn:aws:iam::1:role/x".to_owned(), external_id: Some("e".to_owned()), ..Role::default() };
        assert_eq!(profiles.way("work"), Ok(Way::Role { role, source: Source::Profile("base".to_owned()) }));
        assert_eq!(profiles.way("two words"), Ok(Way::Process("/bin/tool --for me".to_owned())));
        let login = |session: &str, region: &str| {
            let [session, region, account, role] = [session, region, "1", "r"].map(str::to_owned);
            Ok(Way::Login(Some(Login { session, region, account, role })))
        };
        assert_eq!(profiles.way("people"), login("corp", "eu-west-1"));
        assert_eq!(profiles.way("old"), login("https://y", "eu-west-2"));
        assert_eq!(profiles.way("half-sso"), Ok(Way::Login(None)));
        let r = Role { arn: "r".to_owned(), ..Role::default() };
        let own = Way::Role { role: r.clone(), source: Source::Profile("self".to_owned()) };
        assert_eq!((profiles.way("self"), profiles.own_keys("self")), (Ok(own), Ok(keys("A", "S", None))));
        assert_eq!(profiles.way("box"), Ok(Way::Role { role: r.clone(), source: Source::Instance }));
        assert_eq!(profiles.way("pod"), Ok(Way::WebIdentity { role: r, file: "/token".to_owned() }));
        assert!(!profiles.has("corp") && !profiles.has("sso-session corp"));
    }

    #[test]
    fn what_cannot_work_is_said_before_anything_is_asked() {
        let profiles = Profiles::parse(CONFIG, CREDENTIALS);
        for (name, want) in [
            ("nobody", "there is no profile `nobody`"),
            ("a", "in a circle"),
            ("mfa", "`mfa_serial`"),
            ("lost", "whose credentials"),
            ("half", "one half"),
        ] {
            let why = profiles.way(name).unwrap_err();
            assert!(why.contains(want), "{name}: {why}");
        }
        assert_eq!(format!("{:?}", profiles.way("base")), "Ok(keys)", "no secret in what a test prints");
    }
}
