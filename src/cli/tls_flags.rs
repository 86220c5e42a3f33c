//! The global options `--tls-…`: certificates that do not lie in the store. `create` notes them for its machine.

use super::CliError;
use crate::record::auth::AuthFiles;
use clap::{Arg, ArgMatches};
use std::path::{Path, PathBuf};

/// What was given, as absolute paths: what is noted must not depend on where one stood.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct TlsFlags {
    ca_cert: Option<PathBuf>,
    ca_key: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

/// Option, variable and what it is.
const OPTIONS: [(&str, &str, &str); 4] = [
    ("tls-ca-cert", "MACHINE_TLS_CA_CERT", "Certificate of the authority, for `create` [$MACHINE_TLS_CA_CERT]"),
    ("tls-ca-key", "MACHINE_TLS_CA_KEY", "Its private key [$MACHINE_TLS_CA_KEY]"),
    ("tls-client-cert", "MACHINE_TLS_CLIENT_CERT", "Certificate of the client [$MACHINE_TLS_CLIENT_CERT]"),
    ("tls-client-key", "MACHINE_TLS_CLIENT_KEY", "Its private key [$MACHINE_TLS_CLIENT_KEY]"),
];

impl TlsFlags {
    /// The options, for the program's command line.
    pub(super) fn args() -> [Arg; 4] {
        OPTIONS.map(|(name, _, help)| Arg::new(name).long(name).value_name("FILE").help(help))
    }

    /// What was given by option, else by variable. An empty variable counts as unset.
    pub(super) fn read(matches: &ArgMatches) -> Result<Self, CliError> {
        let given = |(name, variable, _): (&str, &str, &str)| {
            let option = matches.get_one::<String>(name).map(PathBuf::from);
            let path = option.or_else(|| std::env::var_os(variable).map(PathBuf::from));
            let path = path.filter(|path| !path.as_os_str().is_empty()).map(|path| absolute(&path));
            path.transpose()
        };
        let [ca_cert, ca_key, client_cert, client_key] = OPTIONS.map(given);
        Ok(Self { ca_cert: ca_cert?, ca_key: ca_key?, client_cert: client_cert?, client_key: client_key? })
    }

    /// Where the certificates of a new machine lie, in a store at `root`.
    pub(super) fn files(&self, root: &Path) -> AuthFiles {
        let Self { ca_cert, ca_key, client_cert, client_key } = self.clone();
        let store = AuthFiles::of_store(root);
        AuthFiles {
            ca_cert: ca_cert.unwrap_or(store.ca_cert),
            ca_key: ca_key.unwrap_or(store.ca_key),
            client_cert: client_cert.unwrap_or(store.client_cert),
            client_key: client_key.unwrap_or(store.client_key),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    let absolute = std::path::absolute(path);
    let found = absolute.map_err(|e| CliError::said(format!("cannot tell where {} is: {e}", path.display())))?;
    // `.` and `//` go, so that equal paths are equal texts.
    Ok(found.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_lies_in_the_store() {
        let flags = TlsFlags { ca_cert: Some("/pki/ca.pem".into()), ..TlsFlags::default() };
        let store = AuthFiles::of_store(Path::new("/s"));
        assert_eq!(flags.files(Path::new("/s")), AuthFiles { ca_cert: "/pki/ca.pem".into(), ..store });
    }

    #[test]
    fn relative_paths_are_made_absolute() {
        let matches = clap::Command::new("m").args(TlsFlags::args()).get_matches_from(["m", "--tls-ca-key", "./k//x"]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(TlsFlags::read(&matches).unwrap().ca_key, Some(here.join("k/x")));
    }
}
