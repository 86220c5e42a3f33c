//! What the API says when it does not do as told, in words that lead somewhere.

use super::endpoint;
use crate::{driver::DriverError, http::HttpError};

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    /// What was being done, as `starting the instance`.
    pub(super) doing: String,
    /// As `RunInstances`.
    pub(super) action: String,
    /// The service, as `ec2`.
    pub(super) service: &'static str,
    /// Where.
    pub(super) region: String,
    /// Where the credentials are from, as ``profile `work` ``.
    pub(super) who: String,
    /// What came back.
    pub(super) cause: Cause,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// An answer that is an error.
    Said {
        /// As `InvalidAMIID.NotFound`.
        code: String,
        /// What it says to people.
        message: String,
        /// How many seconds this computer's clock is ahead of that of the server.
        ahead: Option<i64>,
    },
    /// No answer.
    Http(HttpError),
}

impl ApiError {
    /// The error's code; empty when there was no answer.
    pub(super) fn code(&self) -> &str {
        match &self.cause {
            Cause::Said { code, .. } => code,
            Cause::Http(_) => "",
        }
    }

    /// Whether it says that there is no such thing.
    pub(super) fn is_gone(&self) -> bool {
        self.code().ends_with(".NotFound") || self.code().ends_with(".Unknown")
    }

    /// Whether it says that there is such a thing already.
    pub(super) fn is_double(&self) -> bool {
        self.code().ends_with(".Duplicate")
    }

    fn help(&self, code: &str, message: &str, ahead: Option<i64>) -> String {
        let Self { action, region, who, service, .. } = self;
        match code {
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
                let missing = permission(message).unwrap_or_else(|| format!("{service}:{action}"));
                format!(
                    "these credentials ({who}) lack the permission `{missing}`: add it to their policy, or use others; \
                     docs/drivers/amazonec2.md has the whole policy"
                )
            }
            "RequestExpired" | "SignatureDoesNotMatch" | "AuthFailure" | "InvalidSignatureException"
                if ahead.is_some_and(|seconds| seconds.abs() > 240) =>
            {
                let seconds = ahead.unwrap_or_default();
                let side = if seconds > 0 { "ahead of" } else { "behind" };
                let minutes = seconds.abs() / 60;
                format!("set this computer's clock: it is {minutes} min {side} that of AWS, which takes signatures of 5 min")
            }
            "RequestExpired" => format!("set this computer's clock; if it is right, get new credentials ({who})"),
            "ExpiredToken" | "ExpiredTokenException" => format!(
                "these credentials ({who}) are of a session that has ended: log in again (`aws sso login`, or as you \
                 got them), then run the same command again"
            ),
            "AuthFailure" | "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch"
            | "InvalidAccessKeyId" | "MissingAuthenticationToken" | "IncompleteSignature" => format!(
                "AWS does not know these credentials ({who}), or not in `{region}`: see that both halves are right and \
                 of one key, that a session token goes with them if they begin with ASIA, and that the region is enabled"
            ),
            "OptInRequired" | "PendingVerification" | "Blocked" => {
                "enable the service, region or image for this account in the AWS console, then run the same command again"
                    .to_owned()
            }
            _ => limit(code, region).unwrap_or_else(|| option(code, message).to_owned()),
        }
    }
}

/// Help for what there is not enough of.
fn limit(code: &str, region: &str) -> Option<String> {
    Some(match code {
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" | "SpotMaxPriceTooLow" => {
            "AWS has none left of this type there just now: try another `zone` or `instance-type`, or wait".to_owned()
        }
        "VcpuLimitExceeded" | "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" => format!(
            "remove instances you no longer need, choose a smaller `instance-type`, or ask for a higher quota:\n  \
             https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas?region={region}"
        ),
        "VolumeLimitExceeded" | "MaxIOPSLimitExceeded" | "InsufficientVolumeCapacity" => {
            "remove volumes you no longer need, or choose a smaller `root-size` or another `volume-type`".to_owned()
        }
        "SecurityGroupLimitExceeded"
        | "RulesPerSecurityGroupLimitExceeded"
        | "SecurityGroupsPerInterfaceLimitExceeded" => {
            "remove groups or rules you no longer need, or name a `security-group` of yours that several machines share"
                .to_owned()
        }
        "InsufficientFreeAddressesInSubnet" => "choose another `subnet-id` or `zone`: this subnet is full".to_owned(),
        "KeyPairLimitExceeded" => {
            "remove key pairs you no longer need, or give `keypair-name` and `ssh-keypath`".to_owned()
        }
        _ => return None,
    })
}

/// Help for what an option says that AWS will not have.
fn option(code: &str, message: &str) -> &'static str {
    match code {
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" | "InvalidAMIID.Unknown" => {
            "AMIs are of one region: give one of this region as `ami`, or leave it out and name an `image`"
        }
        "InvalidKeyPair.NotFound" => {
            "see that `keypair-name` is a key pair of this region, then run the same command again"
        }
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => "give a `subnet-id` of this region and VPC, or leave it out",
        "InvalidVpcID.NotFound" => "give a `vpc-id` of this region, or leave it out",
        "InvalidGroup.NotFound" | "InvalidGroupId.Malformed" => "name a `security-group` of this region and VPC",
        "VPCIdNotSpecified" | "DefaultVpcDoesNotExist" => {
            "give `vpc-id` or `subnet-id`: the account has no default VPC here"
        }
        "InvalidIPAddress.InUse" => "choose another `private-ip-address`, or leave it out",
        "InvalidBlockDeviceMapping" | "InvalidParameterCombination" if message.contains("olume") => {
            "give a larger `root-size`: a volume cannot be smaller than the image"
        }
        "Unsupported" | "InvalidInstanceType" | "UnsupportedOperation" => {
            "choose what this region and zone have: another `zone` or `instance-type`"
        }
        "IncorrectInstanceState" | "IncorrectState" => {
            "wait until the instance has settled, then run the same command again"
        }
        "VolumeModificationRateExceeded" | "IncorrectModificationState" => {
            "AWS changes a volume once in 6 hours: wait, then run the same command again"
        }
        "OperationNotPermitted" => "the instance is protected: take the protection away in the AWS console first",
        "InvalidParameterValue"
            if message.contains("iamInstanceProfile") || message.contains("IAM Instance Profile") =>
        {
            "give the name of an instance profile of this account as `iam-instance-profile`"
        }
        _ => "correct the options of the machine that this is about, then run the same command again",
    }
}

/// Whether it says that our credentials are unknown or have ended.
fn is_stranger(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
    )
}

/// The permission that AWS says is missing, as `iam:PassRole`.
fn permission(message: &str) -> Option<String> {
    let rest = message.split("not authorized to perform: ").nth(1)?;
    let word = rest.split_whitespace().next()?.trim_end_matches('.');
    word.contains(':').then(|| word.to_owned())
}

/// What AWS says, without the part that only AWS can read.
fn short(message: &str) -> &str {
    message.split(" Encoded authorization failure message").next().unwrap_or(message).trim()
}

impl From<ApiError> for DriverError {
    fn from(e: ApiError) -> Self {
        match &e.cause {
            Cause::Said { code, message, ahead } => {
                let help = e.help(code, message, *ahead);
                let why = format!("AWS says {code}: {}", short(message));
                if is_stranger(code) {
                    return Self::Stranger { why, help, doing: e.doing };
                }
                Self::Refused { why, help, doing: e.doing }
            }
            // A name that does not exist is most often a region that does not.
            Cause::Http(HttpError::NotSent { .. }) if !endpoint::is_known(&e.region) && e.who != OWN_ENDPOINT => {
                let near = endpoint::similar(&e.region);
                let meant =
                    if near.is_empty() { String::new() } else { format!("did you mean `{}`? ", near.join("`, `")) };
                Self::Refused {
                    why: format!("nothing answers for a region `{}`", e.region),
                    help: format!(
                        "{meant}regions are listed at https://docs.aws.amazon.com/general/latest/gr/ec2-service.html"
                    ),
                    doing: e.doing,
                }
            }
            Cause::Http(
                why @ (HttpError::Unsendable { .. }
                | HttpError::Unprepared { .. }
                | HttpError::NotSent { distrusted: true, .. }),
            ) => Self::Refused { why: why.to_string(), help: why.help(), doing: e.doing },
            Cause::Http(HttpError::Malformed { .. }) if e.action.starts_with("Describe") => {
                let Cause::Http(why) = &e.cause else { unreachable!("it was one a line above") };
                Self::Refused { why: why.to_string(), help: why.help(), doing: e.doing }
            }
            Cause::Http(why) => Self::Lost { why: why.to_string(), doing: e.doing },
        }
    }
}

/// In place of credentials, of an error about an endpoint that a person gave: its name is not made from the region.
pub(super) const OWN_ENDPOINT: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, message: &str, ahead: Option<i64>) -> DriverError {
        let cause = Cause::Said { code: code.to_owned(), message: message.to_owned(), ahead };
        error(cause, "eu-central-1").into()
    }

    fn error(cause: Cause, region: &str) -> ApiError {
        ApiError {
            doing: "making the instance".to_owned(),
            action: "RunInstances".to_owned(),
            service: "ec2",
            region: region.to_owned(),
            who: "profile `work`".to_owned(),
            cause,
        }
    }

    /// What a person is told must name the thing to do.
    #[test]
    fn each_error_says_what_to_do_about_it() {
        let unauthorized = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not \
            authorized to perform: iam:PassRole on resource: r. Encoded authorization failure message: AbCd";
        for (code, message, ahead, want) in [
            ("UnauthorizedOperation", unauthorized, None, "`iam:PassRole`"),
            ("UnauthorizedOperation", "You are not authorized to perform this operation.", None, "`ec2:RunInstances`"),
            ("InsufficientInstanceCapacity", "x", None, "another `zone`"),
            ("VcpuLimitExceeded", "x", None, "servicequotas"),
            ("InvalidAMIID.NotFound", "x", None, "AMIs are of one region"),
            ("OptInRequired", "x", None, "enable"),
            ("ExpiredToken", "x", None, "profile `work`"),
            ("AuthFailure", "x", Some(12), "AWS does not know these credentials (profile `work`)"),
            ("AuthFailure", "x", Some(-900), "it is 15 min behind that of AWS"),
            ("RequestExpired", "x", Some(420), "it is 7 min ahead of that of AWS"),
            ("Whatever", "x", None, "correct the options"),
        ] {
            let error = said(code, message, ahead);
            let help = error.help().unwrap();
            assert!(help.contains(want), "{code}: {help}");
            assert!(!error.is_transient() && error.to_string().contains(code), "{error}");
            assert!(!error.to_string().contains("AbCd"), "it is shown as it came: {error}");
        }
    }

    #[test]
    fn what_may_have_happened_is_lost_and_an_unknown_region_is_named() {
        let lost = HttpError::Lost { host: "h".to_owned(), request: "POST /".to_owned(), why: "closed".to_owned() };
        assert!(DriverError::from(error(Cause::Http(lost), "eu-central-1")).is_transient());
        let not = HttpError::NotSent { host: "h".to_owned(), why: "no such name".to_owned(), distrusted: false };
        assert!(DriverError::from(error(Cause::Http(not.clone()), "eu-central-1")).is_transient());
        let region = DriverError::from(error(Cause::Http(not), "eu-cental-1"));
        assert!(region.help().unwrap().starts_with("did you mean `eu-central-1`"), "{:?}", region.help());
    }
}
