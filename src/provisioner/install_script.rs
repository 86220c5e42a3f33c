//! An engine that a script of the web installs, where packages are not wanted.

use super::{Op, Unsupported};
use crate::{engine::env::without_passwords, quote::Sh};

/// The URL is read from standard input, for it may have a password in it.
const RUN: &str = "url={}
shown={}
script=\"$apt_dir/install-script\"
case $url in http://*) note 'the script comes over http, without protection: it can be changed on its way' ;; esac
if ! command -v curl >/dev/null && ! command -v wget >/dev/null; then
    apt_install curl ca-certificates
fi
status=0
if command -v curl >/dev/null; then
    printf 'url = \"%s\"\\n' \"$url\" | curl -fsSL --retry 3 --connect-timeout 20 -K - -o \"$script\" || status=$?
else
    printf '%s\\n' \"$url\" | wget -nv -t 3 -T 20 -i - -O \"$script\" || status=$?
fi
if [ $status -ne 0 ]; then
    echo \"$shown cannot be downloaded\" >&2
    exit 1
fi
if [ ! -s \"$script\" ]; then
    echo \"$shown is empty\" >&2
    exit 1
fi
# The script may use apt, and would not wait for its locks.
apt_get install
note 'the script is at work'
export DEBIAN_FRONTEND=noninteractive
status=0
sh \"$script\" 3>&- || status=$?
if [ $status -ne 0 ]; then
    echo \"the script of $shown failed (exit status $status)\" >&2
    exit 1
fi
if ! command -v dockerd >/dev/null; then
    echo \"the script of $shown ended well, and there is no dockerd\" >&2
    exit 1
fi";

/// Downloads a script whole, then runs it. Only where there is no engine.
pub(super) fn op(url: Option<&str>) -> Result<Op, Unsupported> {
    let url = url.unwrap_or_default();
    let shown = without_passwords(url);
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    // It stands between quotes in curl's configuration.
    if !scheme || !url.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`\\<>".contains(&b)) {
        return Err(Unsupported {
            what: format!("`install-url` {shown:?} is not a URL of http or https"),
            help: "write it like https://get.docker.com".to_owned(),
        });
    }
    let run = Sh::text(include_str!("apt.sh").trim_ascii_end()).then(&Sh::template(RUN, &[url, &shown]));
    Ok(Op::new(format!("install an engine by {shown}"), run))
}
