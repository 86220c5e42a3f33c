//! Signature Version 4: what AWS knows a request by.
//!
//! Pure: time and credentials are given. Held to the vectors that AWS publishes, and to botocore, which the AWS CLI uses.

use crate::digest::{hex, sha256_hex};
use aws_lc_rs::hmac;

/// The form of the time in a request, as `20150830T123600Z`.
pub(super) const TIME: &[time::format_description::BorrowedFormatItem<'static>] =
    time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");

/// Who signs, and for what.
pub(super) struct Signer<'a> {
    /// Id of the access key.
    pub(super) access_key: &'a str,
    /// Its secret half.
    pub(super) secret_key: &'a str,
    /// As `eu-central-1`.
    pub(super) region: &'a str,
    /// As `ec2`.
    pub(super) service: &'a str,
    /// As [`TIME`] has it.
    pub(super) time: &'a str,
}

/// What is signed. Names of headers are lowercase; path and query are in their canonical form.
pub(super) struct Request<'a> {
    /// As `POST`.
    pub(super) method: &'a str,
    /// As `/`.
    pub(super) path: &'a str,
    /// Without the question mark.
    pub(super) query: &'a str,
    /// All that are to be signed, `host` and `x-amz-date` among them.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub(super) body: &'a [u8],
}

impl Signer<'_> {
    /// Value of the header `authorization`.
    pub(super) fn authorization(&self, request: &Request<'_>) -> String {
        let scope = self.scope();
        let (names, canonical) = canonical(request);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.time, sha256_hex(canonical.as_bytes()));
        let signature = hex(mac(self.key().as_ref(), text.as_bytes()).as_ref());
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.access_key)
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service)
    }

    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    /// The key of this day, region and service.
    fn key(&self) -> hmac::Tag {
        let secret = zeroize::Zeroizing::new(format!("AWS4{}", self.secret_key));
        [self.region, self.service, "aws4_request"]
            .into_iter()
            .fold(mac(secret.as_bytes(), self.date().as_bytes()), |key, part| mac(key.as_ref(), part.as_bytes()))
    }
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// The names of the signed headers, and the request as both sides write it.
fn canonical(request: &Request<'_>) -> (String, String) {
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join("\n");
    let Request { method, path, query, body, .. } = request;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n\n{names}\n{}", sha256_hex(body));
    (names, canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Credentials, time and scope of the test suite for Signature Version 4 that AWS publishes.
    const SUITE: Signer<'_> = Signer {
        access_key: "AKIDEXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "service",
        time: "20150830T123600Z",
    };
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

    #[track_caller]
    fn signature(method: &str, query: &str, headers: &[(&str, &str)], body: &str, want: &str) {
        let request = Request { method, path: "/", query, headers, body: body.as_bytes() };
        let said = SUITE.authorization(&request);
        assert!(said.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "));
        assert_eq!(said.rsplit_once("Signature=").unwrap().1, want, "{said}");
    }

    #[test]
    fn requests_of_the_published_suite_have_the_published_signatures() {
        // get-vanilla
        signature("GET", "", &[HOST, DATE], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        // get-vanilla-query-order-key-case
        let query = "Param1=value1&Param2=value2";
        signature("GET", query, &[HOST, DATE], "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        // post-vanilla
        signature("POST", "", &[HOST, DATE], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
        // post-x-www-form-urlencoded
        let form = [("content-type", "application/x-www-form-urlencoded"), HOST, DATE];
        let want = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        signature("POST", "", &form, "Param1=value1", want);
        // get-header-value-trim; the order in which headers are given is no matter
        let blanks = [DATE, HOST, ("my-header2", " \"a   b   c\" "), ("my-header1", " value1")];
        let want = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736";
        signature("GET", "", &blanks, "", want);
    }

    /// Signed by botocore 1.44.5, for the same requests (`scripts/sigv4-vectors.py`).
    #[test]
    fn requests_are_signed_as_botocore_signs_them() {
        const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        const TOKEN: &str = "IQoJb3JpZ2luX2VjEO7//////////wEaCXVzLWVhc3QtMSJHMEUCIQD+canary/token==";
        const RUN: &str = "Action=RunInstances&Version=2016-11-15&ClientToken=a~b-c_d.e&UserData=I2Nsb3Vk%2B%2F%3D%3D\
            &Tag.1.Value=%C3%A4+b%2A";
        const ASSUME: &str =
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdeploy";
        let signer = |region, service, time| Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE+==",
            region,
            service,
            time,
        };
        let signature = |signer: &Signer<'_>, method, query, headers: &[(&str, &str)], body: &str| {
            let headers = [headers, &[("x-amz-date", signer.time)]].concat();
            let request = Request { method, path: "/", query, headers: &headers, body: body.as_bytes() };
            signer.authorization(&request).rsplit_once("Signature=").unwrap().1.to_owned()
        };
        let host = ("host", "ec2.eu-central-1.amazonaws.com");
        let germany = signer("eu-central-1", "ec2", "20260228T235959Z");
        let want = "ac5282c1fea32c0c2eca202ea1566a2bc3501fc02582da56bd5492baea7ae42c";
        assert_eq!(signature(&germany, "POST", "", &[FORM, host], RUN), want);
        // A session.
        let host = ("host", "ec2.us-east-1.amazonaws.com");
        let token = ("x-amz-security-token", TOKEN);
        let want = "6cbdefb694695c30bddd0155c3f35ab00d69fd18fd3e3664065f046a24eb0492";
        assert_eq!(
            signature(&signer("us-east-1", "ec2", "20281231T000000Z"), "POST", "", &[FORM, host, token], RUN),
            want
        );
        // A port that is not the usual one.
        let host = ("host", "127.0.0.1:4321");
        let want = "1c4f928d00e55bd458113ed7720c2790d8c6f5b5bb6848dc52a416d0a6f9e1c4";
        let leap = signer("us-gov-west-1", "sts", "20280229T120000Z");
        assert_eq!(signature(&leap, "POST", "", &[FORM, host, token], ASSUME), want);
        // Blanks in a header, and a body that is none of a form.
        let odd = [FORM, ("host", "ec2.eu-central-1.amazonaws.com"), ("x-odd", "  a   \"b\"  c  ")];
        let want = "f9503386f854ef8c1e21c762fb35ae325f01474a97c45ea362d6e55769f0da83";
        assert_eq!(signature(&germany, "POST", "", &odd, "ä\n\u{2028}\0 %~+*'"), want);
        // Nothing but a query.
        let query = "Action=GetCallerIdentity&Version=2011-06-15&X=%2A~%20";
        let want = "5bd1020d680adee973b349675daf0927a73f4dbebea649c8b59dfafd90132a30";
        let sts = signer("us-east-1", "sts", "20260101T000001Z");
        assert_eq!(signature(&sts, "GET", query, &[("host", "sts.amazonaws.com")], ""), want);
    }

    /// The example of AWS's guide, "derive a signing key".
    #[test]
    fn the_derived_key_is_that_of_the_guide() {
        let signer = Signer { service: "iam", ..SUITE };
        let want = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
        assert_eq!(hex(signer.key().as_ref()), want);
    }
}
