//! Debian and its derivatives: apt and systemd.
use super::{Difference, Facts, HostCertificate, Provisioner, Script, Unsupported};
use crate::engine::EngineSpec;

pub(super) struct Debian;

impl Provisioner for Debian {
    fn name(&self) -> &'static str {
        "debian"
    }
    fn knows(&self, id: &str) -> bool {
        matches!(id, "debian" | "ubuntu")
    }
    fn differences(&self, _facts: &Facts, _want: &EngineSpec) -> Vec<Difference> {
        Vec::new()
    }
    fn engine(&self, _facts: &Facts, _want: &EngineSpec) -> Result<Script, Unsupported> {
        Ok(Script::default())
    }
    fn certificate(&self, _facts: &Facts, _certificate: &HostCertificate) -> Script {
        Script::default()
    }
}
